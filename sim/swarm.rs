//! Random worlds around the real planner, estimator and controller: servers with other people on
//! them, users with limits, sources that change. What must never happen is checked in every run of
//! every world, apart from what should come out in the end.
//!
//! A failure names its world; `World::of(seed)` builds the same again.

use std::cell::RefCell;

use ixtract::controller::between_runs::{Decision, Room, Sample, State, decide};
use ixtract::estimator::{Evidence, estimate};
use ixtract::model::{
    ConnectionLoad, ExecutionContext, Learned, PastRun, Recorded, RunId, RunRequest, RunStatus,
    SourceProfile, Surroundings,
};
use ixtract::planner::{Inputs, Limits, Planned, plan};

use jiff::Timestamp;

use crate::fixtures;
use crate::plant::{Curve, Plant, Random};

/// Worlds, and runs in each.
const WORLDS: u64 = 40;
const RUNS: u32 = 30;

/// One source, one user, and what goes on around them.
struct World {
    plant: Plant,
    request: RunRequest,
    /// Whether other people come and go on the server.
    crowded: bool,
    random: Random,
}

impl World {
    fn of(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9));
        let mut one_in = |count: u32| random.below(count) == 0;
        let (crowded, changing, disturbed) = (one_in(2), one_in(3), one_in(3));
        let explore = !one_in(6);
        let curve = Curve::EVERY[random.below(Curve::EVERY.len() as u32) as usize];
        let mut plant = Plant::steady(curve, 1 + random.below(12));
        plant.seed = seed;
        plant.noise = 0.20 * random.share();
        plant.disturbed = if disturbed { 0.08 } else { 0.0 };
        if changing {
            plant.level = |run| if run < 15 { 1.0 } else { 0.5 };
            plant.best = |first, run| if run < 15 { first } else { first.div_ceil(2) };
        }
        let mut request = fixtures::request();
        request.work.start_workers = Some(1 + random.below(16));
        request.work.min_workers = 1 + random.below(3);
        request.work.max_workers = request.work.min_workers + random.below(14);
        request.work.explore = explore;
        Self {
            plant,
            request,
            crowded,
            random,
        }
    }

    /// The table as it is found before a run.
    fn profile(&mut self) -> SourceProfile {
        let mut profile = fixtures::profile(40_000_000);
        if self.crowded {
            profile.connections = ConnectionLoad {
                max: 100,
                active: self.random.below(100),
            };
        }
        profile
    }
}

/// A run as it was planned, and what it was planned from.
struct Planning {
    planned: Planned,
    decision: Option<Decision>,
    room: Option<Room>,
    context: ExecutionContext,
    connections: ConnectionLoad,
}

fn plan_run(world: &mut World, past: &[PastRun], state: &State) -> Planning {
    let profile = world.profile();
    let samples: Vec<Sample> = past
        .iter()
        .map(|run| Sample {
            workers: run.workers,
            throughput: run.throughput,
            at: run.started_at,
        })
        .collect();
    let context = circumstances(&profile, past);
    let evidence = Evidence {
        benchmark: None,
        history: past,
        context: &context,
        now: Timestamp::from_second(past.len() as i64).unwrap(),
    };
    let asked = RefCell::new(None);
    let planned = plan(&Inputs {
        benchmark: None,
        filtered: None,
        request: &world.request,
        source: &fixtures::source(),
        profile: &profile,
        estimate: &|workers| estimate(&evidence, &profile, workers),
        learned: &|room| {
            let decision = decide(&samples, state, room);
            asked.replace(Some((room, decision.clone())));
            decision
        },
        limits: Limits { cpus: 8 },
    })
    .unwrap();
    let (room, decision) = asked.into_inner().unzip();
    Planning {
        decision: decision.flatten(),
        planned,
        room,
        context,
        connections: profile.connections,
    }
}

fn circumstances(profile: &SourceProfile, past: &[PastRun]) -> ExecutionContext {
    let rows = profile.statistics.estimate.rows;
    let around = Surroundings {
        concurrent_extractions: 0,
        system_load_per_core: None,
        now: Timestamp::from_second(past.len() as i64).unwrap(),
    };
    ExecutionContext::measured(&profile.latency, profile.connections, rows, around)
}

/// A clean run, as the store hands it out.
fn past_run(sample: Sample, context: ExecutionContext) -> PastRun {
    PastRun {
        id: RunId::new(sample.at, 0),
        relation: "public.orders".to_owned(),
        started_at: sample.at,
        status: RunStatus::Success,
        workers: sample.workers,
        rows: 40_000_000,
        bytes: 4_000_000_000,
        duration_s: 40e6 / sample.throughput,
        predicted_s: 40e6 / sample.throughput,
        throughput: sample.throughput,
        teaches: true,
        fingerprint: String::new(),
        error: None,
        context: Recorded::Known(context),
        replay_of: None,
    }
}

/// What holds for every run, whatever the source does. `before` is the state that it was planned from.
fn check_safety(world: &World, planning: &Planning, before: &State) -> Result<(), String> {
    let work = &world.request.work;
    let plan = &planning.planned.plan;
    let workers = plan.spec.workers;
    let must = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
    must(workers >= 1 && workers <= work.max_workers, "--max-workers")?;
    must(
        plan.forecast.duration_s.is_finite(),
        "a forecast of no time",
    )?;
    let (Some(decision), Some(room)) = (&planning.decision, planning.room) else {
        return Ok(());
    };
    must(
        workers <= decision.workers.max(work.min_workers),
        "more than was decided",
    )?;
    let quarter = (planning.connections.available() / 4).max(1);
    must(
        decision.workers <= quarter,
        "more than a quarter of the free connections",
    )?;
    let known = if before.best == 0 {
        u32::MAX
    } else {
        before.best
    };
    let from = known.clamp(room.min, room.max);
    let trial = matches!(decision.why, Learned::Tried { .. } | Learned::Probed { .. });
    must(
        room.upward || before.best == 0 || decision.workers <= from,
        "upward under load",
    )?;
    must(room.explore || !trial, "a trial in spite of --no-explore")?;
    match decision.why {
        Learned::Declined { .. } => must(
            decision.workers <= from && decision.workers + 1 >= from,
            "a decline takes one worker away",
        )?,
        Learned::Dropped { .. } => must(
            decision.workers <= from && decision.workers + 2 >= from,
            "drops take two workers away",
        )?,
        Learned::Restarted { .. } => must(decision.workers <= from, "more after a change")?,
        Learned::Tried { .. } | Learned::Probed { .. } => {
            let best = decision.next.best;
            must(
                decision.workers <= 2 * best && 2 * decision.workers >= best,
                "a trial beyond double or half",
            )?;
        }
        Learned::Held { .. } | Learned::Adopted { .. } => {
            must(
                decision.workers == decision.next.best,
                "neither kept nor adopted",
            )?;
        }
    }
    Ok(())
}

/// Runs a world to its end; the shares of the oracle's throughput within the user's bounds.
fn shares(seed: u64) -> Vec<f64> {
    let mut world = World::of(seed);
    let plant = world.plant.clone();
    let mut meter = plant.meter(world.request.work.start_workers.unwrap_or(1));
    let (mut past, mut state): (Vec<PastRun>, State) = (Vec::new(), State::default());
    let mut shares = Vec::new();
    for run in 0..RUNS {
        let planning = plan_run(&mut world, &past, &state);
        if let Err(broken) = check_safety(&world, &planning, &state) {
            panic!(
                "world {seed}, run {run}: {broken}: {:?} after {state:?}",
                planning.decision
            );
        }
        let workers = planning.planned.plan.spec.workers;
        // Only what was executed as it was decided is remembered; so does the store.
        state = planning.planned.next.unwrap_or(state);
        past.insert(0, past_run(meter.measure(run, workers), planning.context));
        past.truncate(50);
        let work = &world.request.work;
        let most = (work.min_workers..=work.max_workers)
            .map(|workers| plant.share(run, workers))
            .fold(0.0, f64::max);
        shares.push(plant.share(run, workers) / most);
    }
    shares
}

#[test]
fn nothing_forbidden_happens_in_any_world() {
    let worlds = (1..=WORLDS).map(shares);
    let all: Vec<f64> = worlds
        .map(|shares| shares.iter().sum::<f64>() / f64::from(RUNS))
        .collect();
    assert_eq!(all.len() as u64, WORLDS);
}

#[test]
fn quiet_worlds_end_near_the_best() {
    let quiet = (1..=WORLDS).filter(|seed| {
        let world = World::of(*seed);
        !world.crowded && world.request.work.explore && world.plant.disturbed == 0.0
    });
    for seed in quiet {
        let shares = shares(seed);
        let last = shares[shares.len() - 10..].iter().sum::<f64>() / 10.0;
        assert!(last >= 0.85, "world {seed}: {last}");
    }
}

//! From a request, a profile and an estimate to a plan; pure.
//!
//! The order of decisions: what to cut on (`strategy`), how many workers (`workers`), where to
//! cut (`chunking`), who takes which chunk first, and what all that is expected to take. Every
//! decision leaves a [`Reason`]. Equal inputs give equal plans, on any machine.

mod chunking;
mod error;
mod executed;
mod fingerprint;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
pub(crate) mod past;
mod provable;
mod resolution;
mod strategy;
mod verdict;
mod workers;

pub use error::PlanError;
pub use executed::{Executed, decisions};
pub use fingerprint::{canonical_json, fingerprint, parse, parse_any_version, verify};
pub use verdict::{advice, verdict};

use crate::controller::between_runs::{Decision, Room, State};
use crate::estimator::ThroughputEstimate;
use crate::model::{
    BackoffRule, Benchmarked, Chunking, Estimate, ExecutionPlan, ExecutionSpec, Forecast,
    ForecastChunk, FormatOptions, PLAN_VERSION, PlannedChunk, ReadSpec, Reason, RetryPolicy,
    RunRequest, Scheduling, SourceIdentity, SourceProfile, Statistics, TYPE_MAP_VERSION,
    TypeMapping, Unfit,
};
use chunking::Piece;
use strategy::Cutting;

/// Retries of a chunk: after 1, 2 and 4 seconds, with jitter.
const RETRY: RetryPolicy = RetryPolicy {
    retries: 3,
    base_ms: 1_000,
    max_ms: 60_000,
};

/// The adaptive rule `source_latency_backoff` (facts sheet, section 5), as multiples of the latency
/// that a run itself measures.
const BACKOFF: BackoffRule = BackoffRule {
    threshold_p50s: 5,
    floor_ms: 50,
    floor_p50s: 10,
    active_from_p50_us: 1_000,
    max_activations: 10,
    cooldown_chunks: 3,
    max_pause_ms: 30_000,
};

/// Above this coefficient of variation (thousandths) a key's spread is skewed.
const SKEWED_PERMILLE: u32 = 1_000;

/// A snapshot held longer than this many seconds deserves a warning.
const LONG_SNAPSHOT_S: f64 = 30.0 * 60.0;

/// What this machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processors that this process may use.
    pub cpus: u32,
}

/// What a plan is made from.
pub struct Inputs<'a> {
    /// What the user asked for.
    pub request: &'a RunRequest,
    /// The database.
    pub source: &'a SourceIdentity,
    /// What is known of the table and its server.
    pub profile: &'a SourceProfile,
    /// The expected speed of a number of workers.
    pub estimate: &'a dyn Fn(u32) -> ThroughputEstimate,
    /// What earlier runs say about the number of workers, within a room; `None` before the first.
    pub learned: &'a dyn Fn(Room) -> Option<Decision>,
    /// Rows that the user's filter is expected to let through, where an earlier run tells.
    pub filtered: Option<u64>,
    /// What a benchmark stands for, or why it does not decide; `None` where there is none.
    pub benchmark: Option<Result<Benchmarked, Unfit>>,
    /// This machine.
    pub limits: Limits,
}

/// A plan, and what to remember when a run of it teaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: ExecutionPlan,
    /// The controller's next state, where it decided.
    pub next: Option<State>,
}

/// Makes a plan.
///
/// # Errors
/// [`PlanError::NoKey`] and [`PlanError::NoBlocks`] where the chunking that the user asked for is
/// impossible, [`PlanError::Unprovable`] where the proof is.
pub fn plan(inputs: &Inputs<'_>) -> Result<Planned, PlanError> {
    let work = &inputs.request.work;
    let rows = inputs.profile.statistics.estimate.rows;

    let table = &inputs.profile.table;
    let proof_key = provable::columns(inputs.request, inputs.source.kind, table)?;
    let strategy::Choice { cuts, mut reasons } = strategy::choose(inputs)?;
    let mut staff = workers::staff(inputs, &cuts);
    if let Some(rows) = work.chunk_rows.filter(|_| !cuts.is_empty()) {
        reasons.push(Reason::ChunkRowsForced { rows });
    }
    let count = chunking::count(rows, staff.workers, work.chunk_rows);
    let mut cutting = strategy::cut(&cuts, rows, count);
    reasons.append(&mut cutting.reasons);
    let chunks = u32::try_from(cutting.pieces.len()).unwrap_or(u32::MAX);
    staff.cap(chunks, "chunks");
    reasons.append(&mut staff.reasons);
    let (scheduling, reason) = schedule(&cutting);
    reasons.extend(reason);
    let filtered = |passing| Reason::RowsFiltered {
        rows: passing,
        of: rows,
    };
    reasons.extend(inputs.filtered.map(filtered));

    let spec = spec(inputs, &cutting, staff.workers, scheduling, proof_key);
    spec.check().map_err(|source| PlanError::Unsound {
        relation: spec.read.relation.to_string(),
        source,
    })?;
    let forecast = forecast(inputs, &cutting.pieces, staff.workers);
    let mut warnings = inputs.profile.warnings.clone();
    warnings.extend(long_snapshot(forecast.duration_s));
    warnings.extend(empty_lines(&spec));
    let plan = ExecutionPlan {
        fingerprint: fingerprint(&spec),
        spec,
        forecast,
        reasons,
        resolution: staff.resolution,
        warnings,
    };
    let next = staff.next;
    Ok(Planned { plan, next })
}

/// Whether the request itself decides how fast the run can be, so that the run must not teach: any
/// hint, a forced number of workers, or one pass whatever the table.
pub fn constrained(request: &RunRequest) -> bool {
    request.hints.is_some()
        || request.work.workers.is_some()
        || request.work.chunking == Chunking::None
}

/// The most sessions that may read at once, whatever the table: half of the server's free
/// connections, `--max-workers`, and what can share a snapshot.
pub fn most_sessions(inputs: &Inputs<'_>) -> u32 {
    workers::most_sessions(inputs)
}

/// Longest chunk first where lengths differ; plan order, which is key or block order, elsewhere.
fn schedule(cutting: &Cutting<'_>) -> (Scheduling, Option<Reason>) {
    let rows = || cutting.pieces.iter().map(|piece| piece.rows);
    let (smallest, largest) = (rows().min().unwrap_or(0), rows().max().unwrap_or(0));
    let skew = cutting.key.map_or(0, |profile| profile.cv_permille);
    if skew > SKEWED_PERMILLE {
        let reason = Reason::Skewed { cv_permille: skew };
        (Scheduling::WorkStealing, Some(reason))
    } else if 10 * u128::from(largest) > 11 * u128::from(smallest) {
        let reason = Reason::UnequalChunks { smallest, largest };
        (Scheduling::WorkStealing, Some(reason))
    } else {
        (Scheduling::RoundRobin, None)
    }
}

/// The pieces as chunks of a plan, in key or block order, each with its dispatch rank.
fn ranked(pieces: &[Piece], scheduling: Scheduling) -> Vec<PlannedChunk> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    if scheduling == Scheduling::WorkStealing {
        // Stable: equal estimates keep plan order.
        order.sort_by_key(|index| std::cmp::Reverse(pieces[*index].rows));
    }
    let mut ranks = vec![0; pieces.len()];
    for (rank, index) in (0..).zip(order) {
        ranks[index] = rank;
    }
    pieces
        .iter()
        .zip(ranks)
        .zip(1..)
        .map(|((piece, rank), number)| PlannedChunk {
            number,
            bounds: piece.bounds.clone(),
            rank,
        })
        .collect()
}

fn spec(
    inputs: &Inputs<'_>,
    cutting: &Cutting<'_>,
    workers: u32,
    scheduling: Scheduling,
    proof_key: Vec<String>,
) -> ExecutionSpec {
    let Inputs {
        request, profile, ..
    } = inputs;
    ExecutionSpec {
        plan_version: PLAN_VERSION,
        source: inputs.source.clone(),
        read: ReadSpec {
            relation: profile.table.relation.clone(),
            kind: profile.table.kind,
            query: profile.table.query.clone(),
            columns: profile.table.columns.clone(),
            key: cutting.key.map(|profile| profile.key.clone()),
            leaves: cutting
                .leaves
                .iter()
                .map(|leaf| leaf.relation.clone())
                .collect(),
            filter: profile.table.filter.clone(),
        },
        window: request
            .increment
            .as_ref()
            .and_then(|increment| increment.fixed.clone()),
        types: TypeMapping {
            mode: request.types.mode,
            version: TYPE_MAP_VERSION,
        },
        strategy: cutting.strategy,
        chunks: ranked(&cutting.pieces, scheduling),
        workers,
        scheduling,
        retry: RETRY,
        backoff: BACKOFF,
        format: request.output.format.clone(),
        consistency: request.work.consistency,
        proof: request.work.proof,
        proof_key,
        memory_mb: request
            .hints
            .as_ref()
            .and_then(|hints| Some(hints.max_memory_mb?.get())),
    }
}

fn forecast(inputs: &Inputs<'_>, pieces: &[Piece], workers: u32) -> Forecast {
    let Statistics {
        estimate: Estimate { rows: table, .. },
        bytes,
        ..
    } = inputs.profile.statistics;
    let rows = inputs.filtered.unwrap_or(table);
    let bytes = match inputs.filtered {
        // Rows that pass are taken to be as wide as all are.
        Some(_) if table > 0 => share(bytes, rows.min(table).into(), table.into()),
        _ => bytes,
    };
    let estimate = (inputs.estimate)(workers);
    Forecast {
        rows,
        bytes,
        throughput: estimate.rows_per_s,
        duration_s: rows as f64 / estimate.rows_per_s.max(1.0),
        method: estimate.method.to_string(),
        runs: estimate.runs,
        grounds: estimate.grounds,
        chunks: forecast_chunks(pieces, rows, bytes),
    }
}

/// Shares rows and bytes out by the pieces' rows, or evenly where none are expected; both sums hold
/// exactly.
fn forecast_chunks(pieces: &[Piece], rows: u64, bytes: u64) -> Vec<ForecastChunk> {
    let count = pieces.len() as u128;
    let all: u128 = pieces.iter().map(|piece| u128::from(piece.rows)).sum();
    let (mut before, mut given) = (0u128, (0, 0));
    (1u128..)
        .zip(pieces)
        .map(|(number, piece)| {
            before += u128::from(piece.rows);
            let (part, parts) = if all == 0 {
                (number, count)
            } else {
                (before, all)
            };
            let until = (share(rows, part, parts), share(bytes, part, parts));
            let (rows, bytes) = (until.0 - given.0, until.1 - given.1);
            given = until;
            ForecastChunk { rows, bytes }
        })
        .collect()
}

/// ⌊whole · part / parts⌋, for `part` ≤ `parts`.
fn share(whole: u64, part: u128, parts: u128) -> u64 {
    let share = (u128::from(whole) * part).checked_div(parts);
    share
        .and_then(|share| u64::try_from(share).ok())
        .unwrap_or(whole)
}

fn long_snapshot(duration_s: f64) -> Option<String> {
    (duration_s > LONG_SNAPSHOT_S).then(|| {
        format!(
            "one snapshot is held for about {:.0} minutes, which delays vacuum on the server: a quiet hour suits it best",
            duration_s / 60.0
        )
    })
}

/// RFC 4180 leaves open what an empty line is; PostgreSQL reads it as one empty field, others skip
/// it and would lose the row.
fn empty_lines(spec: &ExecutionSpec) -> Option<String> {
    match (&spec.format, spec.read.columns.as_slice()) {
        (FormatOptions::Csv(csv), [column]) if csv.null.is_empty() && column.nullable => {
            Some(format!(
                "a NULL of {} is an empty line, which some readers of CSV skip: --csv-null NULL makes it visible",
                column.name
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use proptest::prelude::*;

    use super::fixtures::{plan_of, profile, request, try_plan};
    use super::*;
    use crate::model::{
        ChunkBounds, Compression, Consistency, CsvOptions, Estimate, KeyValue, Learned, LoadHint,
        Origin, ParquetOptions, Priority, ProofLevel, RuntimeContext, Strategy, TypeMode,
    };

    fn capped(plan: &ExecutionPlan) -> Vec<(u32, u32, &str)> {
        let caps = plan.reasons.iter().filter_map(|reason| match reason {
            Reason::WorkersCapped { from, to, cap } => Some((*from, *to, cap.as_str())),
            _ => None,
        });
        caps.collect()
    }

    #[test]
    fn a_small_table_is_read_in_one_pass_by_one_worker() {
        for (rows, bytes) in [(99_999, u64::MAX / 200), (10_000_000, 49_999_999)] {
            let mut small = profile(rows);
            small.statistics.bytes = bytes;
            let plan = plan_of(&request(), &small);
            assert_eq!(plan.spec.strategy, Strategy::SinglePass);
            assert_eq!(plan.spec.chunks[0].bounds, ChunkBounds::All);
            assert_eq!((plan.spec.chunks.len(), plan.spec.workers), (1, 1));
            assert_eq!(plan.spec.read.key, None);
            assert_eq!(plan.reasons[0], Reason::SmallTable { rows, bytes });
        }
        let mut at_the_limit = profile(100_000);
        at_the_limit.statistics.bytes = 50_000_000;
        assert_eq!(plan_of(&request(), &at_the_limit).spec.chunks.len(), 2);
    }

    #[test]
    fn a_row_count_that_nobody_knows_is_not_small() {
        let mut unknown = profile(0);
        unknown.statistics.estimate.origin = Origin::Unknown;
        unknown.statistics.bytes = 60_000_000;
        unknown.statistics.blocks = Some(7_500);
        unknown.key = None;
        let plan = plan_of(&request(), &unknown);
        assert_eq!(plan.spec.strategy, Strategy::CtidChunking);
        assert_eq!(
            plan.forecast.chunks.iter().map(|c| c.bytes).sum::<u64>(),
            60_000_000
        );
    }

    #[test]
    fn the_user_may_force_many_chunks_on_any_table() {
        let tiny = profile(1_000);
        let force = |change: &dyn Fn(&mut RunRequest)| {
            let mut request = request();
            change(&mut request);
            let spec = plan_of(&request, &tiny).spec;
            (spec.strategy, spec.chunks.len(), spec.workers)
        };
        use Strategy::{CtidChunking, RangeChunking, SinglePass};
        assert_eq!(force(&|r| r.work.workers = Some(4)), (RangeChunking, 8, 4));
        assert_eq!(force(&|r| r.work.workers = Some(1)), (SinglePass, 1, 1));
        assert_eq!(
            force(&|r| r.work.chunk_rows = Some(100)),
            (RangeChunking, 10, 1)
        );
        assert_eq!(
            force(&|r| r.work.chunking = Chunking::Key),
            (RangeChunking, 2, 1)
        );
        assert_eq!(
            force(&|r| r.work.chunking = Chunking::Ctid),
            (CtidChunking, 2, 1)
        );
        assert_eq!(
            force(&|r| r.work.chunk_rows = Some(5_000)),
            (SinglePass, 1, 1)
        );
    }

    #[test]
    fn statistics_decide_between_key_and_blocks() {
        let cases = [
            (Some(900), Strategy::RangeChunking),
            (Some(-950), Strategy::RangeChunking),
            (Some(899), Strategy::CtidChunking),
            (None, Strategy::CtidChunking),
        ];
        for (correlation, strategy) in cases {
            let mut table = profile(3_000_000);
            table
                .key
                .as_mut()
                .expect("it has a key")
                .correlation_permille = correlation;
            assert_eq!(plan_of(&request(), &table).spec.strategy, strategy);
            table.blocks_addressable = false;
            let plan = plan_of(&request(), &table);
            assert_eq!(plan.spec.strategy, Strategy::RangeChunking);
            assert_eq!(
                plan.reasons[0],
                Reason::KeyOnly {
                    key: "id".to_owned()
                }
            );
        }
        let mut keyless = profile(3_000_000);
        keyless.key = None;
        assert_eq!(
            plan_of(&request(), &keyless).reasons[0],
            Reason::BlocksNoKey
        );
        keyless.statistics.blocks = None;
        let plan = plan_of(&request(), &keyless);
        assert_eq!(plan.reasons[0], Reason::NothingToCutOn);
        assert_eq!(
            (plan.spec.strategy, plan.spec.workers),
            (Strategy::SinglePass, 1)
        );
    }

    #[test]
    fn a_key_of_one_value_gives_way_to_blocks() {
        let mut coarse = profile(3_000_000);
        let density = &mut coarse.key.as_mut().expect("it has a key").density;
        density.max = density.min.clone();
        let plan = plan_of(&request(), &coarse);
        assert_eq!(plan.spec.strategy, Strategy::CtidChunking);
        let cut = "key id".to_owned();
        assert!(
            plan.reasons
                .contains(&Reason::CutTooCoarse { cut, chunks: 1 })
        );
        coarse.blocks_addressable = false;
        let plan = plan_of(&request(), &coarse);
        assert_eq!(
            (plan.spec.strategy, plan.spec.workers),
            (Strategy::SinglePass, 1)
        );
        assert_eq!(capped(&plan), [(6, 1, "chunks")]);
    }

    #[test]
    fn what_cannot_be_forced_is_refused() {
        let mut wish = request();
        let mut table = profile(3_000_000);
        wish.work.chunking = Chunking::Key;
        table.key = None;
        let refused = try_plan(&wish, &table);
        assert!(matches!(
            refused,
            Err(PlanError::NoKey { blocks: true, .. })
        ));
        wish.work.chunking = Chunking::Ctid;
        table.blocks_addressable = false;
        let refused = try_plan(&wish, &table);
        assert!(matches!(
            refused,
            Err(PlanError::NoBlocks { key: false, .. })
        ));
    }

    #[test]
    fn one_pass_has_one_worker_whatever_was_asked_for() {
        let mut wish = request();
        wish.work.chunking = Chunking::None;
        wish.work.workers = Some(4);
        let plan = plan_of(&wish, &profile(3_000_000));
        assert_eq!((plan.spec.chunks.len(), plan.spec.workers), (1, 1));
        assert_eq!(capped(&plan), [(4, 1, "chunks")]);
        assert!(constrained(&wish));
        assert!(!constrained(&request()));
    }

    /// A plan for eight million rows on a machine of two processors. Earlier runs say what
    /// `learned` says; the rooms that they were asked for come back too.
    fn plan_learned(
        request: &RunRequest,
        profile: &SourceProfile,
        learned: Option<u32>,
    ) -> (Planned, Vec<Room>) {
        let rooms = std::cell::RefCell::new(Vec::new());
        let planned = plan(&Inputs {
            request,
            source: &fixtures::source(),
            profile,
            estimate: &|_| ThroughputEstimate::guess(100_000.0),
            filtered: None,
            benchmark: None,
            learned: &|room| {
                rooms.borrow_mut().push(room);
                learned.map(|workers| Decision {
                    workers,
                    why: Learned::Held {
                        workers,
                        runs: 3,
                        counts: 2,
                    },
                    next: State {
                        best: workers,
                        ..State::default()
                    },
                })
            },
            limits: Limits { cpus: 2 },
        });
        (planned.expect("it can be planned"), rooms.into_inner())
    }

    #[test]
    fn the_controller_comes_after_the_user_and_before_the_start() {
        let table = profile(8_000_000);
        let workers = |wish: &RunRequest, learned| {
            let (planned, _) = plan_learned(wish, &table, learned);
            (
                planned.plan.spec.workers,
                planned.next.map(|state| state.best),
            )
        };
        let mut wish = request();
        assert_eq!(
            workers(&wish, Some(5)),
            (5, Some(5)),
            "measured: no CPU cap"
        );
        assert_eq!(workers(&wish, None), (2, None), "the CPUs cap a profile");
        wish.work.start_workers = Some(3);
        assert_eq!(workers(&wish, Some(5)), (5, Some(5)));
        assert_eq!(workers(&wish, None), (3, None), "nor a wish");
        wish.work.workers = Some(7);
        assert_eq!(workers(&wish, Some(5)), (7, None));
    }

    #[test]
    fn the_controller_has_the_room_that_server_user_and_table_leave() {
        let room = |wish: &RunRequest, table: &SourceProfile| {
            let (_, rooms) = plan_learned(wish, table, None);
            rooms[0]
        };
        let (mut wish, mut table) = (request(), profile(8_000_000));
        let free = Room {
            min: 1,
            max: 8,
            explore: true,
            upward: true,
        };
        assert_eq!(room(&wish, &table), free);
        wish.work.explore = false;
        wish.work.min_workers = 3;
        table.connections.active = 76;
        let crowded = Room {
            min: 3,
            max: 6,
            explore: false,
            upward: false,
        };
        assert_eq!(room(&wish, &table), crowded, "a quarter of 24 free ones");
        table.connections.active = 99;
        assert_eq!(room(&wish, &table).max, 1);
        assert_eq!(room(&request(), &profile(1_000)).max, 1, "one chunk");
    }

    #[test]
    fn workers_come_from_the_user_or_the_rows() {
        for (rows, workers) in [
            (100_000, 1),
            (1_000_000, 2),
            (3_999_999, 7),
            (u32::MAX.into(), 8),
        ] {
            let mut table = profile(rows);
            table.statistics.bytes = u64::MAX;
            assert_eq!(plan_of(&request(), &table).spec.workers, workers);
        }
        let mut wish = request();
        wish.work.start_workers = Some(3);
        assert_eq!(plan_of(&wish, &profile(8_000_000)).spec.workers, 3);
        wish.work.min_workers = 5;
        assert_eq!(plan_of(&wish, &profile(8_000_000)).spec.workers, 5);
        wish.work.workers = Some(30);
        let plan = plan_of(&wish, &profile(8_000_000));
        assert_eq!(plan.spec.workers, 30);
        assert!(
            plan.reasons
                .contains(&Reason::WorkersForced { workers: 30 })
        );
    }

    #[test]
    fn every_cap_lowers_and_says_so() {
        let table = profile(8_000_000);
        let mut busy = table.clone();
        // 14 are free, 7 are safe, 2 of them for coordinator and monitor.
        busy.connections.active = 86;
        let plan = plan_of(&request(), &busy);
        assert_eq!(capped(&plan), [(8, 5, "safe connections")]);
        busy.connections.active = 100;
        assert_eq!(plan_of(&request(), &busy).spec.workers, 1);

        let mut wish = request();
        wish.work.max_workers = 2;
        wish.work.min_workers = 4;
        assert_eq!(capped(&plan_of(&wish, &table)), [(8, 2, "--max-workers")]);

        let mut few_readers = table.clone();
        few_readers.max_readers = 1;
        let mut wish = request();
        wish.work.workers = Some(4);
        let plan = plan_of(&wish, &few_readers);
        assert_eq!(capped(&plan), [(4, 1, "readers of one snapshot")]);
        wish.work.consistency = Consistency::PerChunk;
        assert_eq!(plan_of(&wish, &few_readers).spec.workers, 4);

        let mut wish = request();
        wish.work.workers = Some(4);
        wish.work.chunk_rows = Some(4_000_000);
        assert_eq!(capped(&plan_of(&wish, &table)), [(4, 2, "chunks")]);
    }

    #[test]
    fn unequal_chunks_go_longest_first() {
        let even = plan_of(&request(), &profile(3_000_000));
        assert_eq!(even.spec.scheduling, Scheduling::RoundRobin);
        assert!(
            even.spec
                .chunks
                .iter()
                .zip(0..)
                .all(|(chunk, rank)| chunk.rank == rank)
        );

        let mut table = profile(3_000_000);
        let key = table.key.as_mut().expect("it has a key");
        // Half of the rows have the key 1,500,000.
        let heavy = [
            300_000, 900_000, 1_500_000, 1_500_000, 1_500_000, 1_500_000, 2_500_000,
        ];
        key.density.bounds = heavy.map(KeyValue::Int).to_vec();
        let plan = plan_of(&request(), &table);
        assert_eq!(plan.spec.scheduling, Scheduling::WorkStealing);
        let largest = plan.forecast.chunks.iter().map(|chunk| chunk.rows).max();
        let first = plan.spec.chunks.iter().position(|chunk| chunk.rank == 0);
        assert_eq!(first.map(|index| plan.forecast.chunks[index].rows), largest);
        assert!(matches!(
            plan.reasons.last(),
            Some(Reason::UnequalChunks { .. })
        ));

        let mut skewed = profile(3_000_000);
        skewed.key.as_mut().expect("it has a key").cv_permille = 1_000;
        assert_eq!(
            plan_of(&request(), &skewed).spec.scheduling,
            Scheduling::RoundRobin
        );
        skewed.key.as_mut().expect("it has a key").cv_permille = 1_001;
        let plan = plan_of(&request(), &skewed);
        assert_eq!(plan.spec.scheduling, Scheduling::WorkStealing);
        assert_eq!(
            plan.reasons.last(),
            Some(&Reason::Skewed { cv_permille: 1_001 })
        );
    }

    #[test]
    fn the_forecast_is_for_the_planned_workers() {
        let mut wish = request();
        wish.work.workers = Some(2);
        let table = profile(3_000_000);
        let plan = plan_of(&wish, &table);
        assert_eq!(plan.forecast.throughput, 200_000.0);
        assert_eq!(plan.forecast.duration_s, 15.0);
        assert_eq!(plan.warnings, Vec::<String>::new());
        // 30 minutes at 200,000 rows a second, and a little more.
        let plan = plan_of(&wish, &profile(360_000_000));
        assert!(plan.warnings.is_empty());
        let plan = plan_of(&wish, &profile(360_000_001));
        assert!(
            plan.warnings[0].contains("30 minutes"),
            "{:?}",
            plan.warnings
        );
    }

    #[test]
    fn a_decision_is_in_the_fingerprint_and_a_prediction_is_not() {
        let base = plan_of(&request(), &profile(3_000_000));
        type Change = (&'static str, fn(&mut RunRequest, &mut SourceProfile));
        let decisions: [Change; 13] = [
            ("workers", |r, _| r.work.workers = Some(5)),
            ("max workers", |r, _| r.work.max_workers = 2),
            ("chunking", |r, _| r.work.chunking = Chunking::Ctid),
            ("chunk rows", |r, _| r.work.chunk_rows = Some(1_000)),
            ("consistency", |r, _| {
                r.work.consistency = Consistency::Snapshot
            }),
            ("proof", |r, _| r.work.proof = ProofLevel::Stream),
            ("types", |r, _| r.types.mode = TypeMode::Native),
            ("compression", |r, _| {
                r.output.format = FormatOptions::Parquet(ParquetOptions {
                    compression: Compression::Zstd(5),
                    ..ParquetOptions::default()
                })
            }),
            ("row groups", |r, _| {
                r.output.format = FormatOptions::Parquet(ParquetOptions {
                    row_group_rows: 7,
                    ..ParquetOptions::default()
                })
            }),
            ("format", |r, _| {
                r.output.format = FormatOptions::Csv(CsvOptions::default())
            }),
            ("filter", |_, p| p.table.filter = Some("id > 3".to_owned())),
            ("relation", |_, p| p.table.relation.name.push('s')),
            ("columns", |_, p| p.table.columns[0].nullable = true),
        ];
        for (name, change) in decisions {
            let (mut request, mut profile) = (request(), profile(3_000_000));
            change(&mut request, &mut profile);
            let changed = plan_of(&request, &profile).fingerprint;
            assert_ne!(changed, base.fingerprint, "{name}");
        }
        let predictions: [Change; 6] = [
            ("output", |r, _| r.output.directory.push('2')),
            ("layout", |r, _| {
                r.output.layout = crate::model::Layout::Runs
            }),
            ("bytes", |_, p| p.statistics.bytes += 1),
            ("latency", |_, p| p.latency.round_trips_us = vec![9_000; 5]),
            ("connections", |_, p| p.connections.active += 1),
            ("warnings", |_, p| {
                p.warnings.push("never analysed".to_owned())
            }),
        ];
        for (name, change) in predictions {
            let (mut request, mut profile) = (request(), profile(3_000_000));
            change(&mut request, &mut profile);
            let same = plan_of(&request, &profile).fingerprint;
            assert_eq!(same, base.fingerprint, "{name}");
        }
    }

    #[test]
    fn the_nulls_of_an_only_column_in_csv_deserve_a_warning() {
        let warnings = |null: &str, nullable| {
            let (mut wish, mut known) = (request(), profile(3_000_000));
            wish.output.format = FormatOptions::Csv(CsvOptions {
                null: null.to_owned(),
                ..CsvOptions::default()
            });
            known.table.columns[0].nullable = nullable;
            plan_of(&wish, &known).warnings
        };
        assert!(warnings("", true)[0].contains("--csv-null NULL"));
        assert_eq!(warnings("NULL", true), Vec::<String>::new());
        assert_eq!(warnings("", false), Vec::<String>::new());
    }

    #[test]
    fn sums_of_the_forecast_hold_without_rows() {
        let pieces = chunking::by_blocks(10, 0, 3);
        let chunks = forecast_chunks(&pieces, 0, 100);
        let bytes: Vec<u64> = chunks.iter().map(|chunk| chunk.bytes).collect();
        assert_eq!(bytes, [33, 33, 34]);
    }

    #[test]
    fn hints_come_after_everything_else_and_lower_any_proposal() {
        let mut wish = request();
        wish.hints = Some(RuntimeContext {
            source_load: Some(LoadHint::High),
            max_source_connections: NonZeroU32::new(8),
            ..RuntimeContext::default()
        });
        let table = profile(8_000_000);
        // Eight are recommended; two of eight sessions are no worker's; half of six.
        let plan = plan_of(&wish, &table);
        assert_eq!(plan.spec.workers, 3);
        assert_eq!(capped(&plan), [(8, 6, "--max-source-connections")]);
        wish.work.workers = Some(4);
        assert_eq!(plan_of(&wish, &table).spec.workers, 2);
        wish.work.workers = None;
        wish.work.min_workers = 5;
        assert_eq!(plan_of(&wish, &table).spec.workers, 3, "--min-workers too");
        // What was learned is used, and nothing is tried.
        let (planned, rooms) = plan_learned(&wish, &table, Some(5));
        assert_eq!(planned.plan.spec.workers, 2);
        assert!(rooms.iter().all(|room| !room.explore), "{rooms:?}");
        assert!(constrained(&wish));
    }

    #[test]
    fn advice_changes_no_fingerprint_and_a_limit_on_memory_does() {
        let fingerprint = |hints: RuntimeContext| {
            let mut wish = request();
            wish.hints = hints.given();
            let plan = plan_of(&wish, &profile(3_000_000));
            assert_eq!(verify(&plan), Ok(()));
            let text = serde_json::to_string(&plan).expect("JSON");
            assert_eq!(parse(&text), Ok(plan.clone()), "nothing is lost in a file");
            plan.fingerprint
        };
        let plain = fingerprint(RuntimeContext::default());
        let advised = fingerprint(RuntimeContext {
            maintenance_window_minutes: NonZeroU32::new(60),
            ..RuntimeContext::default()
        });
        let frugal = fingerprint(RuntimeContext {
            max_memory_mb: NonZeroU64::new(100_000),
            ..RuntimeContext::default()
        });
        assert_eq!(plain, advised);
        assert_ne!(plain, frugal);
    }

    proptest! {
        #[test]
        fn hints_never_give_a_plan_more_workers(
            rows in 1_000_000u64..100_000_000,
            workers in proptest::option::of(1u32..40),
            allowed in 1u32..40,
            high: bool,
            critical: bool,
        ) {
            let mut wish = request();
            wish.work.workers = workers;
            let plain = plan_of(&wish, &profile(rows));
            wish.hints = Some(RuntimeContext {
                max_source_connections: NonZeroU32::new(allowed),
                source_load: high.then_some(LoadHint::High),
                priority: critical.then_some(Priority::Critical),
                ..RuntimeContext::default()
            });
            let hinted = plan_of(&wish, &profile(rows));
            prop_assert!(hinted.spec.workers <= plain.spec.workers);
            prop_assert!(hinted.spec.workers + 2 <= allowed || hinted.spec.workers == 1);
            prop_assert_eq!(verify(&hinted), Ok(()));
        }

        #[test]
        fn every_plan_is_sound_and_made_twice_alike(
            rows in 0u64..100_000_000,
            known: bool,
            bytes in 0u64..100_000_000_000,
            blocks in proptest::option::of(0u32..1_000_000),
            correlation in proptest::option::of(-1000i32..=1000),
            nullable: bool,
            workers in proptest::option::of(0u32..40),
            chunk_rows in proptest::option::of(0u64..10_000_000),
            limits in (0u32..10, 0u32..20, 0u32..120),
        ) {
            let mut table = profile(rows);
            let origin = if known { Origin::Catalogue } else { Origin::Unknown };
            table.statistics.estimate = Estimate { rows, origin };
            table.statistics.bytes = bytes;
            table.statistics.blocks = blocks;
            let key = table.key.as_mut().expect("it has a key");
            key.correlation_permille = correlation;
            key.key.nullable = nullable;
            key.density.null_permille = 100;
            let mut wish = request();
            wish.work.workers = workers;
            wish.work.chunk_rows = chunk_rows;
            (wish.work.min_workers, wish.work.max_workers, table.connections.active) = limits;
            let plan = plan_of(&wish, &table);
            prop_assert_eq!(verify(&plan), Ok(()));
            prop_assert_eq!(plan.forecast.chunks.len(), plan.spec.chunks.len());
            prop_assert_eq!(plan.forecast.chunks.iter().map(|c| c.rows).sum::<u64>(), rows);
            prop_assert_eq!(plan.forecast.chunks.iter().map(|c| c.bytes).sum::<u64>(), bytes);
            prop_assert!(plan.spec.workers as usize <= plan.spec.chunks.len());
            prop_assert_eq!(plan_of(&wish, &table), plan);
        }
    }
}

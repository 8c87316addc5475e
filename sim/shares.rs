//! How evenly the real planner shares a table out: chunks of skewed keys, and the order in which
//! unequal chunks are handed out (facts sheet, section 14, work stealing; section 16, density).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ixtract::model::{
    ChunkBounds, ExecutionPlan, KeyDensity, KeyRange, KeyValue, Leaf, Origin, Reason, Relation,
    Scheduling, SourceProfile, Spread, Strategy,
};

use crate::fixtures;
use crate::plant::Random;

const ROWS: u64 = 10_000_000;

/// Keys 1 to 10 000 000 whose density falls with a power of the key: as a server's statistics show
/// them, in 100 parts of equal rows.
fn skewed(power: f64) -> KeyDensity {
    let key = |share: f64| KeyValue::Int((share.powf(power) * ROWS as f64) as i128 + 1);
    KeyDensity {
        min: Some(KeyValue::Int(1)),
        max: Some(KeyValue::Int(ROWS.into())),
        bounds: (1..100).map(|part| key(f64::from(part) / 100.0)).collect(),
        null_permille: 0,
        origin: Origin::Catalogue,
    }
}

/// How many of the rows really have a smaller key, where statistics are exact.
fn truly_below(power: f64, key: i128) -> f64 {
    ((key - 1).max(0) as f64 / ROWS as f64).powf(1.0 / power) * ROWS as f64
}

fn planned(density: KeyDensity, workers: u32) -> ExecutionPlan {
    let mut profile = fixtures::profile(ROWS);
    let key = profile.key.as_mut().unwrap();
    key.cv_permille = Spread::new(&density, ROWS).unwrap().cv_permille();
    key.density = density;
    let mut request = fixtures::request();
    request.work.workers = Some(workers);
    fixtures::plan_of(&request, &profile)
}

/// The rows that each chunk really holds.
fn true_rows(plan: &ExecutionPlan, power: f64) -> Vec<f64> {
    let chunks = plan.spec.chunks.iter();
    let rows = chunks.map(|chunk| {
        let ChunkBounds::Key(KeyRange { lower, upper }) = &chunk.bounds else {
            panic!("chunks of a key")
        };
        let below = |bound: &Option<KeyValue>, open: f64| {
            let key = bound.as_ref().map(|bound| bound.as_int().unwrap());
            key.map_or(open, |key| truly_below(power, key))
        };
        below(upper, ROWS as f64) - below(lower, 0.0)
    });
    rows.collect()
}

/// The facts sheet's skew ratio (10.5): the longest chunk over the middle one.
fn skew_ratio(mut rows: Vec<f64>) -> f64 {
    rows.sort_by(f64::total_cmp);
    rows[rows.len() - 1] / rows[rows.len() / 2]
}

#[test]
fn chunks_of_a_skewed_key_hold_equally_many_rows() {
    for power in [2.0, 3.0, 5.0] {
        let plan = planned(skewed(power), 4);
        let cv = Spread::new(&skewed(power), ROWS).unwrap().cv_permille();
        assert!(cv > 1_000 || power < 3.0, "{cv}");
        assert_eq!(plan.spec.strategy, Strategy::RangeChunking);
        assert_eq!(plan.spec.chunks.len(), 20);
        let ratio = skew_ratio(true_rows(&plan, power));
        assert!(ratio <= 1.5, "{ratio} at {power}");
        // Chunks of equal width, as they would be without statistics.
        let mut even = skewed(power);
        even.bounds.clear();
        let ratio = skew_ratio(true_rows(&planned(even, 4), power));
        assert!(ratio > 1.5, "{ratio} at {power}");
    }
}

#[test]
fn a_skewed_key_has_its_longest_chunk_first_and_says_so() {
    let plan = planned(skewed(5.0), 4);
    assert_eq!(plan.spec.scheduling, Scheduling::WorkStealing);
    assert!(
        plan.reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Skewed { .. }))
    );
    let even = planned(skewed(1.0), 4);
    assert_eq!(even.spec.scheduling, Scheduling::RoundRobin);
}

/// A partitioned table: leaves of anything between a few and many blocks.
fn partitioned(random: &mut Random) -> SourceProfile {
    let mut profile = fixtures::profile(ROWS);
    profile.key = None;
    profile.statistics.blocks = None;
    let leaves = 5 + random.below(20);
    profile.statistics.leaves = (0..leaves)
        .map(|number| Leaf {
            relation: Relation {
                schema: "public".to_owned(),
                name: format!("orders_{number}"),
            },
            // One small at least, so that the chunks are unequal whatever is drawn.
            blocks: 10 + (40_000.0 * random.share().powi(4)) as u32 * u32::from(number > 0),
        })
        .collect();
    profile
}

/// When the last of `workers` workers is done, in rows read by one: whoever is free takes the next.
fn makespan(rows: impl Iterator<Item = u64>, workers: u32) -> u64 {
    let mut free: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
    for rows in rows {
        let Reverse(at) = free.pop().unwrap();
        free.push(Reverse(at + rows));
    }
    free.into_iter().map(|Reverse(at)| at).max().unwrap()
}

#[test]
fn longest_first_ends_no_later_than_plan_order() {
    let mut random = Random::new(7);
    let (mut sooner, mut sums) = (0, (0, 0));
    for _ in 0..200 {
        let mut request = fixtures::request();
        request.work.workers = Some(2 + random.below(6));
        let plan = fixtures::plan_of(&request, &partitioned(&mut random));
        assert_eq!(plan.spec.scheduling, Scheduling::WorkStealing);
        let rows: Vec<u64> = plan
            .forecast
            .chunks
            .iter()
            .map(|chunk| chunk.rows)
            .collect();
        let mut ranked: Vec<_> = plan.spec.chunks.iter().zip(&rows).collect();
        ranked.sort_by_key(|(chunk, _)| chunk.rank);
        assert!(
            ranked.windows(2).all(|pair| pair[0].1 >= pair[1].1),
            "longest first"
        );
        let longest = makespan(ranked.iter().map(|(_, rows)| **rows), plan.spec.workers);
        let in_order = makespan(rows.into_iter(), plan.spec.workers);
        // Graham's bound: longest first is never beyond 4/3 of the best order there is.
        assert!(3 * longest <= 4 * in_order, "{longest} against {in_order}");
        sooner += u32::from(longest < in_order);
        sums = (sums.0 + longest, sums.1 + in_order);
    }
    assert!(
        sums.0 < sums.1 && sooner > 100,
        "{sums:?}, sooner {sooner} times of 200"
    );
}

#[test]
fn equal_chunks_keep_plan_order() {
    let plan = planned(skewed(1.0), 4);
    let ranks: Vec<u32> = plan.spec.chunks.iter().map(|chunk| chunk.rank).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
}

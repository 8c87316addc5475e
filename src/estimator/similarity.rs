//! How alike the circumstances of two runs are (facts sheet, section 2).

use crate::model::{ExecutionContext, MOST_CONCURRENT, NetworkLevel, SourceLoad, Weights};

/// Likeness of two loads by the distance of their levels.
const SOURCE_LOAD: [f64; 4] = [1.0, 0.5, 0.1, 0.1];

/// Likeness of two networks by the distance of their levels.
const NETWORK: [f64; 4] = [1.0, 0.5, 0.2, 0.0];

/// Likeness of two times of day by their distance in bands, around midnight where that is shorter.
const TIME_BAND: [f64; 4] = [1.0, 0.6, 0.2, 0.0];

/// Likeness where a level is not known to this version: neither for nor against.
const UNKNOWN: f64 = 0.5;

/// How alike two contexts are: 0 to 1 each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// All dimensions together, weighed; four decimals.
    pub score: f64,
    /// Share of connections in use; three decimals, as all that follow.
    pub source_load: f64,
    /// Other extractions.
    pub concurrent_extractions: f64,
    /// Time of day.
    pub time_band: f64,
    /// The machine's load; `None` where one side does not know it.
    pub system_load: Option<f64>,
    /// Round trips.
    pub network_quality: f64,
}

/// Compares two contexts. Symmetric: a dimension counts only where both sides know it, and its share
/// goes to the others where one does not. (A machine that cannot tell its load would otherwise be
/// given likeness for free, and comparing two machines would depend on which of them asks.)
pub fn compare(one: &ExecutionContext, other: &ExecutionContext) -> Similarity {
    let system = one
        .system_load_per_core
        .zip(other.system_load_per_core)
        .map(|(one, other)| near(one - other, 0.5));
    let weights = Weights::effective(system.is_some());
    let load = levels(one.source_load, other.source_load, SOURCE_LOAD);
    let network = levels(one.network_quality, other.network_quality, NETWORK);
    let running =
        |context: &ExecutionContext| f64::from(context.concurrent_extractions.min(MOST_CONCURRENT));
    let concurrent = near(running(one) - running(other), 8.0);
    let time = bands(one.time_band, other.time_band);
    let score = weights.source_load * load
        + weights.concurrent_extractions * concurrent
        + weights.time_band * time
        + weights.system_load * system.unwrap_or(0.0)
        + weights.network_quality * network;
    Similarity {
        score: rounded(score, 4),
        source_load: rounded(load, 3),
        concurrent_extractions: rounded(concurrent, 3),
        time_band: rounded(time, 3),
        system_load: system.map(|system| rounded(system, 3)),
        network_quality: rounded(network, 3),
    }
}

/// Whether a table grew or shrank so much between two estimates of its rows that speeds do not
/// compare: by more than half of the larger one.
pub fn has_outgrown(one: u64, other: u64) -> bool {
    2 * u128::from(one.abs_diff(other)) > u128::from(one.max(other))
}

/// `value` with so many decimals, ties to even.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round_ties_even() / scale
}

fn near(distance: f64, width: f64) -> f64 {
    (-distance * distance / width).exp()
}

fn bands(one: u8, other: u8) -> f64 {
    let apart = one.abs_diff(other) % 6;
    let apart = apart.min(6 - apart);
    TIME_BAND.get(usize::from(apart)).copied().unwrap_or(0.0)
}

/// A level's place among the others of its kind.
trait Level {
    fn place(self) -> usize;
}

impl Level for SourceLoad {
    fn place(self) -> usize {
        self as usize
    }
}

impl Level for NetworkLevel {
    fn place(self) -> usize {
        self as usize
    }
}

fn levels<L: Level>(one: Option<L>, other: Option<L>, by_distance: [f64; 4]) -> f64 {
    let Some((one, other)) = one.zip(other) else {
        return UNKNOWN;
    };
    let distance = one.place().abs_diff(other.place());
    by_distance.get(distance).copied().unwrap_or(0.0)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::CONTEXT_VERSION;

    pub(in crate::estimator) fn context(
        source_load: SourceLoad,
        concurrent_extractions: u32,
        time_band: u8,
        system_load_per_core: Option<f64>,
        network_quality: NetworkLevel,
    ) -> ExecutionContext {
        ExecutionContext {
            schema_version: CONTEXT_VERSION,
            source_load: Some(source_load),
            concurrent_extractions,
            time_band,
            system_load_per_core,
            network_quality: Some(network_quality),
            row_estimate: 1_000_000,
            effective_weights: Weights::effective(system_load_per_core.is_some()),
            system_load_available: system_load_per_core.is_some(),
        }
    }

    use NetworkLevel::{Degraded, Excellent, Good, Poor};
    use SourceLoad::{Critical, High, Low, Normal};

    #[test]
    fn the_facts_sheets_pairs_have_its_scores() {
        let near = context(Normal, 1, 1, Some(0.2), Excellent);
        let far = context(High, 3, 2, Some(0.8), Good);
        assert_eq!(compare(&near, &far).score, 0.5446);
        let best = context(Low, 0, 0, Some(0.0), Excellent);
        let worst = context(Critical, 20, 3, Some(2.0), Poor);
        assert_eq!(compare(&best, &worst).score, 0.0301);
    }

    #[test]
    fn each_dimension_has_its_own_likeness() {
        let base = context(Low, 2, 0, Some(0.5), Excellent);
        let against = |change: &dyn Fn(&mut ExecutionContext)| {
            let mut other = base.clone();
            change(&mut other);
            compare(&base, &other)
        };
        let loads = [Low, Normal, High, Critical]
            .map(|load| against(&|other| other.source_load = Some(load)).source_load);
        assert_eq!(loads, [1.0, 0.5, 0.1, 0.1]);
        let networks = [Excellent, Good, Degraded, Poor]
            .map(|level| against(&|other| other.network_quality = Some(level)).network_quality);
        assert_eq!(networks, [1.0, 0.5, 0.2, 0.0]);
        let times =
            [0, 1, 2, 3, 4, 5].map(|band| against(&|other| other.time_band = band).time_band);
        assert_eq!(times, [1.0, 0.6, 0.2, 0.0, 0.2, 0.6]);
        let concurrent = |running| {
            against(&|other| other.concurrent_extractions = running).concurrent_extractions
        };
        assert_eq!([concurrent(2), concurrent(4)], [1.0, 0.607]);
        assert_eq!(concurrent(20), concurrent(21));
        let unknown = against(&|other| other.source_load = None);
        assert_eq!(unknown.source_load, UNKNOWN);
    }

    #[test]
    fn a_load_that_one_side_does_not_know_counts_for_nobody() {
        let known = context(Low, 0, 0, Some(1.9), Excellent);
        let unknown = context(High, 0, 0, None, Excellent);
        let similarity = compare(&known, &unknown);
        assert_eq!(similarity.system_load, None);
        // Without the free share: 0.1 of the load's weight, all of the others'.
        assert_eq!(similarity.score, rounded(1.0 - 0.9 * 0.352_941, 4));
        assert_eq!(similarity, compare(&unknown, &known));
    }

    #[test]
    fn a_table_may_grow_to_twice_its_size() {
        assert!(!has_outgrown(50, 100));
        assert!(has_outgrown(49, 100));
        assert!(has_outgrown(100, 49));
        assert!(!has_outgrown(0, 0));
        assert!(has_outgrown(0, 1));
        assert!(!has_outgrown(u64::MAX, u64::MAX / 2 + 1));
    }

    fn any_context() -> impl Strategy<Value = ExecutionContext> {
        let loads = prop_oneof![Just(Low), Just(Normal), Just(High), Just(Critical)];
        let networks = prop_oneof![Just(Excellent), Just(Good), Just(Degraded), Just(Poor)];
        let system = proptest::option::of(0.0f64..2.0);
        (loads, 0u32..30, 0u8..6, system, networks).prop_map(
            |(load, running, band, system, network)| context(load, running, band, system, network),
        )
    }

    proptest! {
        #[test]
        fn comparing_is_symmetric_bounded_and_highest_for_equals(
            one in any_context(), other in any_context(),
        ) {
            let similarity = compare(&one, &other);
            prop_assert_eq!(similarity, compare(&other, &one));
            prop_assert!((0.0..=1.0).contains(&similarity.score));
            prop_assert_eq!(compare(&one, &one).score, 1.0);
        }
    }
}

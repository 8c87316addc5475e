//! The circumstances of a run as they were measured (facts sheet, section 2).
//!
//! Circumstances are facts, never wishes: what a user believes about the source are hints, and they
//! are another type. Runs under like circumstances say more about the next one than others do.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::profile::{ConnectionLoad, LatencySample, SourceLoad};

/// The version of the stored document.
pub const CONTEXT_VERSION: u32 = 1;

/// More extractions beside a run than this make no further difference.
pub const MOST_CONCURRENT: u32 = 20;

/// More load per processor than this makes no further difference.
pub const MOST_SYSTEM_LOAD: f64 = 2.0;

/// Bands of four hours that a day has.
pub const TIME_BANDS: u8 = 6;

const SECONDS_OF_DAY: i64 = 86_400;

/// How near the source is, by the median round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkLevel {
    /// Less than 1 ms.
    Excellent,
    /// Less than 5 ms, or not known.
    Good,
    /// Less than 20 ms.
    Degraded,
    /// More.
    Poor,
}

impl NetworkLevel {
    /// The level of a sample of round trips.
    pub fn of(latency: &LatencySample) -> Self {
        match latency.p50_us() {
            _ if latency.round_trips_us.is_empty() => Self::Good,
            ..1_000 => Self::Excellent,
            1_000..5_000 => Self::Good,
            5_000..20_000 => Self::Degraded,
            _ => Self::Poor,
        }
    }
}

/// How much each dimension counts when two contexts are compared; together 1, none above a half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Share of the server's connections in use.
    pub source_load: f64,
    /// Other extractions from the same source.
    pub concurrent_extractions: f64,
    /// Time of day.
    pub time_band: f64,
    /// Load of this machine; 0 where it is not known.
    pub system_load: f64,
    /// Round trips.
    pub network_quality: f64,
}

impl Weights {
    /// The weights where the load of this machine is known.
    pub const ALL: Self = Self {
        source_load: 0.30,
        concurrent_extractions: 0.25,
        time_band: 0.20,
        system_load: 0.15,
        network_quality: 0.10,
    };

    /// The weights with the machine's load, or with its share given to the others in proportion.
    pub fn effective(system_load: bool) -> Self {
        if system_load {
            return Self::ALL;
        }
        let spare = Self::ALL.system_load;
        let raised = |weight: f64| rounded(weight + weight / (1.0 - spare) * spare);
        let mut weights = Self {
            source_load: 0.0,
            concurrent_extractions: raised(Self::ALL.concurrent_extractions),
            time_band: raised(Self::ALL.time_band),
            system_load: 0.0,
            network_quality: raised(Self::ALL.network_quality),
        };
        // The largest takes up what rounding left over.
        weights.source_load = rounded(1.0 - weights.sum());
        weights
    }

    /// All of them together.
    pub fn sum(&self) -> f64 {
        self.source_load
            + self.concurrent_extractions
            + self.time_band
            + self.system_load
            + self.network_quality
    }
}

/// Six decimals.
fn rounded(weight: f64) -> f64 {
    (weight * 1e6).round_ties_even() / 1e6
}

/// What is measured outside the source when a plan is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surroundings {
    /// The time, UTC.
    pub now: Timestamp,
    /// Other runs under way on the same source, as far as the history knows.
    pub concurrent_extractions: u32,
    /// The machine's load of the last minute divided by its processors, where it can be known.
    pub system_load_per_core: Option<f64>,
}

/// The measured circumstances of a plan or run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionContext {
    /// [`CONTEXT_VERSION`].
    pub schema_version: u32,
    /// Share of the server's connections in use; `None` for a level that this version does not know.
    #[serde(deserialize_with = "known")]
    pub source_load: Option<SourceLoad>,
    /// Other extractions from the same source, at most [`MOST_CONCURRENT`].
    pub concurrent_extractions: u32,
    /// The hour, UTC, divided by four: 0 to 5.
    pub time_band: u8,
    /// Load of the last minute per processor, 0 to [`MOST_SYSTEM_LOAD`]; `None` where not known.
    pub system_load_per_core: Option<f64>,
    /// Round trips; `None` for a level that this version does not know.
    #[serde(deserialize_with = "known")]
    pub network_quality: Option<NetworkLevel>,
    /// Estimated rows of the table.
    pub row_estimate: u64,
    /// The weights that held when this was measured.
    pub effective_weights: Weights,
    /// Whether the machine's load is known.
    pub system_load_available: bool,
}

impl ExecutionContext {
    /// The circumstances of a source that answers like this, of a table of about `rows` rows, and of
    /// what is around it.
    pub fn measured(
        latency: &LatencySample,
        connections: ConnectionLoad,
        rows: u64,
        around: Surroundings,
    ) -> Self {
        let second_of_day = around.now.as_second().rem_euclid(SECONDS_OF_DAY);
        let load = around
            .system_load_per_core
            .filter(|load| load.is_finite())
            .map(|load| load.clamp(0.0, MOST_SYSTEM_LOAD));
        Self {
            schema_version: CONTEXT_VERSION,
            source_load: Some(connections.level()),
            concurrent_extractions: around.concurrent_extractions.min(MOST_CONCURRENT),
            time_band: (second_of_day * i64::from(TIME_BANDS) / SECONDS_OF_DAY) as u8,
            system_load_per_core: load,
            network_quality: Some(NetworkLevel::of(latency)),
            row_estimate: rows,
            effective_weights: Weights::effective(load.is_some()),
            system_load_available: load.is_some(),
        }
    }

    fn is_sound(&self) -> bool {
        let load = 0.0..=MOST_SYSTEM_LOAD;
        self.schema_version == CONTEXT_VERSION
            && self.time_band < TIME_BANDS
            && self
                .system_load_per_core
                .is_none_or(|known| load.contains(&known))
    }
}

/// A category of a later version is not known, and no reason to drop the rest.
fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(word.and_then(|word| serde_json::from_value(word.into()).ok()))
}

/// What was recorded of a run's circumstances.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "recorded", rename_all = "snake_case")]
pub enum Recorded {
    /// Nothing: the run is older than the measurement.
    Nothing,
    /// They are a benchmark's, which is no run.
    Benchmark,
    /// Something that this version cannot read.
    Unreadable,
    /// Circumstances.
    Known(ExecutionContext),
}

impl Recorded {
    /// Reads the stored document, as JSON.
    pub fn parse(text: &str) -> Self {
        let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else {
            return Self::Unreadable;
        };
        if document.get("schema_version").is_none() {
            return Self::Nothing;
        }
        if document.get("source").is_some_and(|of| of == "benchmark") {
            return Self::Benchmark;
        }
        match serde_json::from_value::<ExecutionContext>(document) {
            Ok(context) if context.is_sound() => Self::Known(context),
            _ => Self::Unreadable,
        }
    }

    /// The circumstances, where they can be read.
    pub fn known(&self) -> Option<&ExecutionContext> {
        match self {
            Self::Known(context) => Some(context),
            Self::Nothing | Self::Benchmark | Self::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::fixtures;

    fn at(time: &str) -> Surroundings {
        Surroundings {
            now: time.parse().expect("a time"),
            concurrent_extractions: 2,
            system_load_per_core: Some(0.25),
        }
    }

    fn measured(around: Surroundings) -> ExecutionContext {
        let profile = fixtures::profile(1_000);
        ExecutionContext::measured(&profile.latency, profile.connections, 1_000, around)
    }

    #[test]
    fn the_share_of_an_unknown_system_load_goes_to_the_others() {
        let weights = Weights::effective(false);
        let expected = Weights {
            source_load: 0.352_941,
            concurrent_extractions: 0.294_118,
            time_band: 0.235_294,
            system_load: 0.0,
            network_quality: 0.117_647,
        };
        assert_eq!(weights, expected);
        for weights in [weights, Weights::effective(true)] {
            assert!((weights.sum() - 1.0).abs() < 1e-9, "{weights:?}");
            assert!(weights.source_load <= 0.5);
        }
    }

    #[test]
    fn round_trips_have_four_levels() {
        let level = |p50| {
            let round_trips_us = vec![p50; 5];
            NetworkLevel::of(&LatencySample {
                connect_us: 1,
                round_trips_us,
            })
        };
        assert_eq!(level(999), NetworkLevel::Excellent);
        assert_eq!(level(1_000), NetworkLevel::Good);
        assert_eq!(level(4_999), NetworkLevel::Good);
        assert_eq!(level(5_000), NetworkLevel::Degraded);
        assert_eq!(level(19_999), NetworkLevel::Degraded);
        assert_eq!(level(20_000), NetworkLevel::Poor);
        let none = LatencySample {
            connect_us: 0,
            round_trips_us: Vec::new(),
        };
        assert_eq!(NetworkLevel::of(&none), NetworkLevel::Good);
    }

    #[test]
    fn circumstances_are_measured_within_their_bounds() {
        let band = |time| measured(at(time)).time_band;
        assert_eq!(band("2026-01-31T03:59:59Z"), 0);
        assert_eq!(band("2026-01-31T04:00:00Z"), 1);
        assert_eq!(band("2026-01-31T23:59:59Z"), 5);
        let mut around = at("2026-01-31T23:59:59Z");
        around.concurrent_extractions = 99;
        around.system_load_per_core = Some(17.0);
        let crowded = measured(around);
        assert_eq!(crowded.concurrent_extractions, MOST_CONCURRENT);
        assert_eq!(crowded.system_load_per_core, Some(MOST_SYSTEM_LOAD));
        assert_eq!(crowded.source_load, Some(SourceLoad::Low));
        assert_eq!(crowded.network_quality, Some(NetworkLevel::Excellent));
        around.system_load_per_core = Some(f64::NAN);
        let unknown = measured(around);
        assert_eq!(
            (unknown.system_load_per_core, unknown.system_load_available),
            (None, false)
        );
        assert_eq!(unknown.effective_weights, Weights::effective(false));
    }

    #[test]
    fn what_was_recorded_is_read_back_or_told_apart() {
        let context = measured(at("2026-01-31T09:00:00Z"));
        let text = serde_json::to_string(&context).expect("JSON");
        assert_eq!(Recorded::parse(&text), Recorded::Known(context.clone()));
        for nothing in ["{}", "null", r#"{"source":"benchmark"}"#] {
            assert_eq!(Recorded::parse(nothing), Recorded::Nothing, "{nothing}");
        }
        let benchmark = r#"{"schema_version":1,"source":"benchmark"}"#;
        assert_eq!(Recorded::parse(benchmark), Recorded::Benchmark);
        let unreadable = [
            "{".to_owned(),
            r#"{"schema_version":1}"#.to_owned(),
            text.replace("\"schema_version\":1", "\"schema_version\":2"),
            text.replace("\"time_band\":2", "\"time_band\":6"),
            text.replace("0.25,\"network", "2.5,\"network"),
        ];
        for text in unreadable {
            assert_eq!(Recorded::parse(&text), Recorded::Unreadable, "{text}");
        }
        let later = Recorded::parse(&text.replace("\"excellent\"", "\"splendid\""));
        let network = later.known().map(|context| context.network_quality);
        assert_eq!(network, Some(None), "{later:?}");
    }
}

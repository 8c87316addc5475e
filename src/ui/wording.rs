//! Reasons, verdicts and levels in words: the only place with prose about decisions.

pub mod finding;

use crate::model::{
    Benchmarked, Consistency, ConsistencyLevel, FormatOptions, Hinted, Learned, NetworkLevel,
    Origin, ProofLevel, Reason, Scheduling, SourceLoad, Strategy, Unfit,
};

use super::units;

/// The verdict on a plan that nothing speaks against.
pub const SAFE: &str = "SAFE";

/// The verdict on a plan that may be executed, with something to know first.
pub const SAFE_WITH_WARNINGS: &str = "SAFE WITH WARNINGS";

/// The verdict on a plan that needs `--force`.
pub const NOT_RECOMMENDED: &str = "NOT RECOMMENDED";

/// A reason as half a sentence.
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::SmallTable { rows, bytes } => format!(
            "the table is small (about {} rows, {}): one chunk",
            units::count(*rows),
            units::bytes(*bytes)
        ),
        Reason::NothingToCutOn => {
            "there is no key and no addressable block to cut on: one chunk".to_owned()
        }
        Reason::ChunkingOff => "one chunk, by --chunking none".to_owned(),
        Reason::KeyCorrelated {
            key,
            correlation_permille,
        } => format!(
            "rows are stored in the order of {key} (correlation {})",
            permille(*correlation_permille)
        ),
        Reason::KeyOnly { key } => format!("{key} is a key, and blocks cannot be addressed here"),
        Reason::BlocksUncorrelated {
            key,
            correlation_permille: Some(correlation),
        } => format!(
            "rows are not stored in the order of {key} (correlation {}), so blocks are cheaper to read",
            permille(*correlation)
        ),
        Reason::BlocksUncorrelated {
            key,
            correlation_permille: None,
        } => format!("nobody knows whether rows are stored in the order of {key}; blocks are safe"),
        Reason::BlocksNoKey => "there is no key to cut on, but blocks can be addressed".to_owned(),
        Reason::KeyUnusable(key) => key.to_string(),
        Reason::ChunkingForced { chunking } => format!("asked for by --chunking {chunking}"),
        Reason::ChunkRowsForced { rows } => {
            format!(
                "about {} rows a chunk, by --chunk-rows",
                units::exact(*rows)
            )
        }
        Reason::CutTooCoarse { cut, chunks } => format!(
            "cutting by {cut} would give only {}",
            units::plural(u64::from(*chunks), "chunk")
        ),
        Reason::CutInstead { cut } => format!("it is cut by {cut} instead"),
        Reason::LeavesApart { leaves } => format!(
            "each of its {} is read by itself, so no row comes by way of the parent",
            units::plural(u64::from(*leaves), "table")
        ),
        Reason::BoundsFrom { origin } => bounds_from(*origin),
        Reason::RowsFiltered { rows, of } => passing(*rows, *of),
        Reason::WorkersForced { workers } => format!("{workers} asked for by --workers"),
        Reason::WorkersProfiled { workers } => format!("{workers} recommended by the profile"),
        Reason::WorkersStart { workers } => format!("{workers} to begin with, by --start-workers"),
        Reason::WorkersBenchmarked(advice) => benchmarked(advice),
        Reason::BenchmarkPassed(unfit) => passed(unfit),
        Reason::WorkersLearned(learned) => self::learned(learned),
        Reason::WorkersRaised { from, to } => {
            format!("raised from {from} to {to} by --min-workers")
        }
        Reason::WorkersCapped { from, to, cap } => format!("lowered from {from} to {to} by {cap}"),
        Reason::WorkersHinted(hinted) => self::hinted(hinted),
        Reason::Skewed { cv_permille } => format!(
            "keys are unevenly spread (variation {}), so the largest chunk goes first",
            permille(i32::try_from(*cv_permille).unwrap_or(i32::MAX))
        ),
        Reason::UnequalChunks { smallest, largest } => format!(
            "chunks hold from {} to {} rows, so the largest goes first",
            units::count(*smallest),
            units::count(*largest)
        ),
    }
}

/// What the places of the cuts are taken from.
fn bounds_from(known: Origin) -> String {
    match known {
        Origin::Unknown => "the spread of values is not known: bounds are a guess".to_owned(),
        known => format!("bounds at equal numbers of rows, from {}", origin(known)),
    }
}

/// What a filter is expected to let through.
fn passing(rows: u64, of: u64) -> String {
    format!(
        "{} of about {} rows pass the filter, going by the last run",
        units::count(rows),
        units::count(of)
    )
}

/// What a benchmark stands for.
fn benchmarked(advice: &Benchmarked) -> String {
    let Benchmarked {
        workers, optimal, ..
    } = advice;
    let trust = f64::from(advice.confidence_permille) / 1000.0;
    if advice.conservative {
        format!(
            "{workers} benchmarked (conservative): the number of workers matters little, {optimal} did best (confidence {trust:.2})"
        )
    } else {
        format!("{workers} benchmarked: fewest within 5 % of the fastest (confidence {trust:.2})")
    }
}

/// Why a benchmark does not decide.
fn passed(unfit: &Unfit) -> String {
    match unfit {
        Unfit::TooOld { days } => format!(
            "the benchmark is not used: it is {} old",
            units::plural(u64::from(*days), "day")
        ),
        Unfit::RowsChanged { then, now } => format!(
            "the benchmark is not used: the table had about {} rows then and has {} now",
            units::count(*then),
            units::count(*now)
        ),
        Unfit::NotTrusted {
            confidence_permille,
        } => format!(
            "the benchmark is not used: its measurements vary too much (confidence {:.2})",
            f64::from(*confidence_permille) / 1000.0
        ),
        Unfit::TakenUp { runs } => format!(
            "the benchmark's curve has been taken up, and {} since",
            units::plural(u64::from(*runs), "run")
        ),
    }
}

/// What the user's hints made of the number of workers.
fn hinted(hinted: &Hinted) -> String {
    match hinted {
        Hinted::Scaled {
            from,
            to,
            permille,
            because,
        } => format!(
            "lowered from {from} to {to} (\u{d7} {}) by {}",
            // Every digit: 0.375.
            f64::from(*permille) / 1000.0,
            because.join(", ")
        ),
        Hinted::Prioritised { from, to, priority } => format!(
            "{} from {from} to {to} by --priority {}",
            if to < from { "lowered" } else { "raised" },
            priority.name()
        ),
    }
}

/// What earlier runs say about the number of workers.
fn learned(learned: &Learned) -> String {
    match learned {
        Learned::Held {
            workers,
            runs,
            counts,
        } => format!(
            "{workers} did best in {} with {}",
            units::plural(u64::from(*runs), "earlier run"),
            units::plural(u64::from(*counts), "worker count")
        ),
        Learned::Adopted { workers, from, .. } if workers < from => {
            format!("{workers} instead of {from}: fewer do as well in earlier runs")
        }
        Learned::Adopted {
            workers,
            from,
            permille,
        } => format!(
            "{workers} instead of {from}: {} faster in earlier runs",
            percent(*permille)
        ),
        Learned::Tried {
            workers,
            best,
            permille,
        } => format!(
            "{workers} for one run, to learn whether they beat {best}: about {} may be gained",
            percent(*permille)
        ),
        Learned::Probed {
            workers,
            best,
            quiet,
        } => format!(
            "{workers} for one run, to see whether {best} still do best after {}",
            units::plural(u64::from(*quiet), "quiet run")
        ),
        Learned::Declined { from, to, permille } => format!(
            "{to} instead of {from}: run by run the source became {} slower",
            percent(*permille)
        ),
        Learned::Dropped { from, to, permille } => format!(
            "{to} instead of {from}: three sharp drops in a row, {} slower in all",
            percent(*permille)
        ),
        Learned::Restarted { workers, permille } => format!(
            "{workers} once more: the source became {} {}, so the search begins anew",
            percent(*permille),
            if *permille < 0 { "slower" } else { "faster" }
        ),
    }
}

/// The size of a change in thousandths, as a percentage.
fn percent(permille: i32) -> String {
    let size = f64::from(permille.unsigned_abs()) / 10.0;
    if size < 9.95 {
        format!("{size:.1} %")
    } else {
        format!("{size:.0} %")
    }
}

/// What a reason explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// How the table is cut.
    Strategy,
    /// How many workers.
    Workers,
    /// In which order chunks are read.
    Scheduling,
    /// What the run is expected to read.
    Expected,
}

/// What `reason` explains.
pub fn topic(reason: &Reason) -> Topic {
    match reason {
        Reason::SmallTable { .. }
        | Reason::NothingToCutOn
        | Reason::ChunkingOff
        | Reason::KeyCorrelated { .. }
        | Reason::KeyOnly { .. }
        | Reason::BlocksUncorrelated { .. }
        | Reason::BlocksNoKey
        | Reason::KeyUnusable(_)
        | Reason::ChunkingForced { .. }
        | Reason::ChunkRowsForced { .. }
        | Reason::CutTooCoarse { .. }
        | Reason::CutInstead { .. }
        | Reason::LeavesApart { .. }
        | Reason::BoundsFrom { .. } => Topic::Strategy,
        Reason::WorkersForced { .. }
        | Reason::WorkersProfiled { .. }
        | Reason::WorkersStart { .. }
        | Reason::WorkersLearned(_)
        | Reason::WorkersBenchmarked(_)
        | Reason::BenchmarkPassed(_)
        | Reason::WorkersRaised { .. }
        | Reason::WorkersHinted(_)
        | Reason::WorkersCapped { .. } => Topic::Workers,
        Reason::Skewed { .. } | Reason::UnequalChunks { .. } => Topic::Scheduling,
        Reason::RowsFiltered { .. } => Topic::Expected,
    }
}

/// Thousandths as a decimal number.
fn permille(value: i32) -> String {
    format!("{:.2}", f64::from(value) / 1000.0)
}

/// Where a number comes from.
pub fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Catalogue => "the catalogue's statistics",
        Origin::Sample => "a bounded sample",
        Origin::Exact => "an exact look-up",
        Origin::Unknown => "nothing: a guess",
    }
}

/// How the table is cut.
pub fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::SinglePass => "one pass",
        Strategy::RangeChunking => "key ranges",
        Strategy::CtidChunking => "block ranges",
    }
}

/// In which order chunks are read.
pub fn scheduling(scheduling: Scheduling) -> &'static str {
    match scheduling {
        Scheduling::RoundRobin => "plan order",
        Scheduling::WorkStealing => "longest chunk first, whoever is free",
    }
}

/// The consistency that a plan asks for.
pub fn consistency(asked: Consistency) -> &'static str {
    match asked {
        Consistency::Snapshot => "one snapshot for all workers, or a refusal",
        Consistency::Auto => "one point in time, with fewer workers where it cannot be shared",
        Consistency::PerChunk => "each chunk at its own point in time",
    }
}

/// The consistency that was achieved.
pub fn achieved(level: ConsistencyLevel) -> &'static str {
    match level {
        ConsistencyLevel::SharedSnapshot => "one snapshot shared by all readers",
        ConsistencyLevel::SingleTransaction => "one transaction, one reader",
        ConsistencyLevel::Mixed => "several points in time, each of whole chunks",
        ConsistencyLevel::PerChunk => "each chunk at its own point in time",
    }
}

/// How completeness will be proved.
pub fn proof(level: ProofLevel) -> &'static str {
    match level {
        ProofLevel::Full => {
            "the server counts the rows and sums the keys of each chunk, and the files are read back"
        }
        ProofLevel::Count => "the server counts the rows in the same snapshot",
        ProofLevel::Stream => "streams and files only, no count by the server",
    }
}

/// How completeness was proved.
pub fn proved(level: ProofLevel) -> &'static str {
    match level {
        ProofLevel::Full => {
            "full: when it was published, the server's rows and keys were those of the files"
        }
        ProofLevel::Count => "count: when it was published, the server counted as many rows",
        ProofLevel::Stream => "stream: when it was published, the server counted nothing",
    }
}

/// The format, and of its options those that change what a reader must know.
pub fn format(options: &FormatOptions) -> String {
    let mut words = vec![
        options.format().name().to_owned(),
        match options.compression().to_string().as_str() {
            "none" => "not compressed".to_owned(),
            codec => codec.to_owned(),
        },
    ];
    if let FormatOptions::Csv(csv) = options {
        if csv.delimiter != ',' {
            words.push(format!("fields parted by {:?}", csv.delimiter));
        }
        if !csv.null.is_empty() {
            words.push(format!("{} for NULL", csv.null));
        }
        if csv.quote_all {
            words.push("every value quoted".to_owned());
        }
        if !csv.header {
            words.push("no header".to_owned());
        }
    }
    words.join(", ")
}

/// A share of 1 in whole percent.
pub fn share(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// How busy a server is.
pub fn load(load: SourceLoad) -> &'static str {
    match load {
        SourceLoad::Low => "low",
        SourceLoad::Normal => "normal",
        SourceLoad::High => "high",
        SourceLoad::Critical => "critical",
    }
}

/// How near a source is.
pub fn network(level: NetworkLevel) -> &'static str {
    match level {
        NetworkLevel::Excellent => "excellent",
        NetworkLevel::Good => "good",
        NetworkLevel::Degraded => "degraded",
        NetworkLevel::Poor => "poor",
    }
}

/// A band of four hours, UTC.
pub fn time_band(band: u8) -> String {
    let from = u32::from(band) * 4;
    format!("{from:02}-{:02}", from + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeyDefect, UnusableKey};

    fn every_learned_reason() -> Vec<Reason> {
        vec![
            Reason::WorkersLearned(Learned::Held {
                workers: 4,
                runs: 12,
                counts: 1,
            }),
            Reason::WorkersLearned(Learned::Adopted {
                workers: 6,
                from: 4,
                permille: 95,
            }),
            Reason::WorkersLearned(Learned::Adopted {
                workers: 3,
                from: 4,
                permille: -9,
            }),
            Reason::WorkersLearned(Learned::Tried {
                workers: 8,
                best: 4,
                permille: 240,
            }),
            Reason::WorkersLearned(Learned::Probed {
                workers: 5,
                best: 4,
                quiet: 8,
            }),
            Reason::WorkersLearned(Learned::Declined {
                from: 4,
                to: 3,
                permille: -112,
            }),
            Reason::WorkersLearned(Learned::Dropped {
                from: 4,
                to: 2,
                permille: -409,
            }),
            Reason::WorkersLearned(Learned::Restarted {
                workers: 4,
                permille: -400,
            }),
        ]
    }

    fn every_reason_of_benchmarks() -> Vec<Reason> {
        vec![
            Reason::WorkersBenchmarked(Benchmarked {
                workers: 4,
                optimal: 4,
                conservative: false,
                confidence_permille: 686,
            }),
            Reason::WorkersBenchmarked(Benchmarked {
                workers: 2,
                optimal: 4,
                conservative: true,
                confidence_permille: 686,
            }),
            Reason::BenchmarkPassed(Unfit::TooOld { days: 8 }),
            Reason::BenchmarkPassed(Unfit::RowsChanged { then: 10, now: 20 }),
            Reason::BenchmarkPassed(Unfit::NotTrusted {
                confidence_permille: 310,
            }),
            Reason::BenchmarkPassed(Unfit::TakenUp { runs: 2 }),
        ]
    }

    fn every_reason_of_workers() -> Vec<Reason> {
        vec![
            Reason::WorkersForced { workers: 4 },
            Reason::WorkersProfiled { workers: 4 },
            Reason::WorkersStart { workers: 4 },
            Reason::WorkersCapped {
                from: 8,
                to: 2,
                cap: "CPUs".to_owned(),
            },
            Reason::WorkersRaised { from: 1, to: 2 },
            Reason::WorkersHinted(Hinted::Scaled {
                from: 8,
                to: 3,
                permille: 375,
                because: vec!["--source-load high".to_owned()],
            }),
            Reason::WorkersHinted(Hinted::Prioritised {
                from: 3,
                to: 2,
                priority: crate::model::Priority::Low,
            }),
        ]
    }

    fn every_reason_of_chunks() -> Vec<Reason> {
        let key = || "id".to_owned();
        vec![
            Reason::SmallTable {
                rows: 10,
                bytes: 2_000,
            },
            Reason::NothingToCutOn,
            Reason::ChunkingOff,
            Reason::KeyCorrelated {
                key: key(),
                correlation_permille: 990,
            },
            Reason::KeyOnly { key: key() },
            Reason::BlocksUncorrelated {
                key: key(),
                correlation_permille: Some(-20),
            },
            Reason::BlocksUncorrelated {
                key: key(),
                correlation_permille: None,
            },
            Reason::BlocksNoKey,
            Reason::KeyUnusable(UnusableKey {
                column: key(),
                source_type: "json".to_owned(),
                defect: KeyDefect::NoOrder,
            }),
            Reason::ChunkingForced {
                chunking: "key".to_owned(),
            },
            Reason::ChunkRowsForced { rows: 250_000 },
            Reason::BoundsFrom {
                origin: Origin::Catalogue,
            },
            Reason::BoundsFrom {
                origin: Origin::Unknown,
            },
            Reason::Skewed { cv_permille: 1500 },
            Reason::CutTooCoarse {
                cut: "key id".to_owned(),
                chunks: 1,
            },
            Reason::CutInstead {
                cut: "key (id, line)".to_owned(),
            },
            Reason::LeavesApart { leaves: 3 },
            Reason::RowsFiltered {
                rows: 1000,
                of: 3_000_000,
            },
            Reason::UnequalChunks {
                smallest: 10,
                largest: 2_000,
            },
        ]
    }

    #[test]
    fn every_reason_has_words_of_its_own_on_one_line() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in [
            every_reason_of_chunks(),
            every_reason_of_workers(),
            every_learned_reason(),
            every_reason_of_benchmarks(),
        ]
        .concat()
        {
            let words = super::reason(&reason);
            assert!(words.len() > 10 && !words.contains('\n'), "{words}");
            assert!(!words.contains("{") && !words.ends_with('.'), "{words}");
            assert!(seen.insert(words.clone()), "twice: {words}");
        }
    }

    #[test]
    fn a_format_is_told_with_what_is_unusual_about_it() {
        let ordinary = crate::model::CsvOptions::default();
        let words = |csv: &crate::model::CsvOptions| format(&FormatOptions::Csv(csv.clone()));
        assert_eq!(words(&ordinary), "csv, not compressed");
        let unusual = crate::model::CsvOptions {
            compression: crate::model::FileCompression::Gzip,
            null: "\\N".to_owned(),
            delimiter: '\t',
            quote_all: true,
            header: false,
            max_file_bytes: None,
        };
        assert_eq!(
            words(&unusual),
            "csv, gzip, fields parted by '\\t', \\N for NULL, every value quoted, no header"
        );
    }

    #[test]
    fn thousandths_are_shown_as_decimals() {
        let words = reason(&Reason::BlocksUncorrelated {
            key: "id".to_owned(),
            correlation_permille: Some(-20),
        });
        assert!(words.contains("(correlation -0.02)"), "{words}");
    }
}

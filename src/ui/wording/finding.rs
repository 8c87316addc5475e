//! What runs show, in words.

use std::time::Duration;

use crate::model::{
    Action, Activity, Anomaly, Attribution, Category, Concern, Direction, Evidence, Finding, Part,
    Skew, Trend, WaitedFor,
};
use crate::ui::units;

/// A category as a person would put it.
pub fn category(category: Category) -> &'static str {
    match category {
        Category::UnderParallel => "too few workers",
        Category::OverParallel => "too many workers",
        Category::Stable => "stable",
        Category::SourceLatency => "the source was slow to answer",
        Category::DataSkew => "uneven chunks",
        Category::ModelError => "wrongly predicted",
        Category::Anomaly => "out of the ordinary",
    }
}

/// A category with the word that `--json` has for it.
pub fn named(category: Category) -> String {
    let (words, name) = (self::category(category), category.name());
    if words == name {
        name.to_owned()
    } else {
        format!("{words} ({name})")
    }
}

/// A finding in one line: its category and the fact that decided.
pub fn headline(finding: &Finding) -> String {
    let name = category(finding.category);
    match finding.evidence.first() {
        Some(fact) => format!("{name}: {}", evidence(fact)),
        None => name.to_owned(),
    }
}

/// A fact as half a sentence.
pub fn evidence(fact: &Evidence) -> String {
    match fact {
        Evidence::First => "there is no earlier clean run to compare with".to_owned(),
        Evidence::Changed { since, permille } => {
            format!("{} than {}", faster(*permille), since.tag())
        }
        Evidence::Unchanged { since, permille } => {
            format!("as fast as {} ({})", since.tag(), signed(*permille))
        }
        Evidence::WorkersChanged { from, to } => format!(
            "{} instead of {from}",
            units::plural(u64::from(*to), "worker")
        ),
        Evidence::FewRuns { runs, needed } => format!(
            "{} before it: {needed} are needed to tell what is usual",
            units::plural(u64::from(*runs), "clean run")
        ),
        Evidence::Usual { z, runs } => format!(
            "{z:.1} standard deviations from the mean of {} before it: usual",
            units::plural(u64::from(*runs), "clean run")
        ),
        Evidence::Unusual { z, mean, runs } => format!(
            "{z:.1} standard deviations from the mean of {} before it ({})",
            units::plural(u64::from(*runs), "clean run"),
            units::rate(*mean)
        ),
        Evidence::LatencyRose { from_us, to_us } => format!(
            "a small query took {} before the run, usually {}",
            micros(*to_us),
            micros(*from_us)
        ),
        Evidence::AnswersSlowed { from_ms, to_ms } => format!(
            "chunks waited {} for their first row, usually {}",
            millis(*to_ms),
            millis(*from_ms)
        ),
        Evidence::SnapshotWaited { from_ms, to_ms } => waited(*from_ms, *to_ms),
        Evidence::LookWaited { from_ms, to_ms } => format!(
            "looking at the table before the run took {}, usually {}: it was locked, or the server slow",
            millis(*to_ms),
            millis(*from_ms)
        ),
        Evidence::BackedOff { paused_ms } => format!(
            "answers took far longer than they may; workers paused {} in all",
            millis(*paused_ms)
        ),
        Evidence::Uneven(skew) => uneven(skew),
        Evidence::Costlier {
            part,
            from_ns,
            to_ns,
        } => format!(
            "{} took {} of worker time a row, usually {}",
            self::part(*part),
            nanos(*to_ns),
            nanos(*from_ns)
        ),
        Evidence::Waited {
            network_permille,
            looks,
        } => shared(*network_permille, *looks),
        Evidence::RowsMispredicted { predicted, rows } => {
            mispredicted(units::count(*rows) + " rows", units::count(*predicted))
        }
        Evidence::SpeedMispredicted {
            predicted,
            throughput,
        } => mispredicted(units::rate(*throughput), units::rate(*predicted)),
    }
}

/// Whose doing the waiting was.
fn shared(network_permille: u32, looks: u32) -> String {
    let share = |permille: u32| units::percent(u64::from(permille), 1000);
    let looks = units::plural(u64::from(looks), "look");
    if network_permille >= 500 {
        let share = share(network_permille);
        format!("the server waited for the network to take what it had in {share} of {looks}")
    } else {
        let share = share(1000 - network_permille.min(1000));
        format!("the server was still at work in {share} of {looks}")
    }
}

fn mispredicted(real: String, predicted: String) -> String {
    format!("{real}, {predicted} were predicted")
}

fn waited(usual_ms: u64, ms: u64) -> String {
    let usually = match usual_ms {
        0 => String::new(),
        usual_ms => format!(", usually {}", millis(usual_ms)),
    };
    format!(
        "the run waited {} for its snapshot or a lock{usually}",
        millis(ms)
    )
}

fn uneven(skew: &Skew) -> String {
    format!(
        "chunk_{:03} took {:.1} times the median and held {:.1} times as much; {} of the worker time was lost waiting for the last chunks",
        skew.slowest,
        skew.ratio,
        skew.size_ratio,
        units::percent(u64::from(skew.lost_permille), 1000)
    )
}

/// An action as an instruction.
pub fn action(action: &Action) -> String {
    match action {
        Action::Nothing => "nothing needs to be done".to_owned(),
        Action::Learned => {
            "nothing needs to be done: later plans take this run into account".to_owned()
        }
        Action::FreeWorkers { workers } => format!(
            "{workers} workers were fixed by hand: leave the number out, and it is found by itself"
        ),
        Action::RaiseMaxWorkers { workers } => {
            format!("the plan was kept at {workers} workers: allow more with --max-workers")
        }
        Action::LowerMaxWorkers { workers } => format!(
            "if this goes on, be gentler than {workers} workers: --max-workers {}",
            (workers / 2).max(1)
        ),
        Action::QuieterHour => {
            "see what else the source did then, or run at a quieter hour".to_owned()
        }
        Action::FindLocks => {
            "see who held locks on the table or altered it then, or run at another hour".to_owned()
        }
        Action::SmallerChunks {
            chunk_rows,
            longest_first,
            by_density,
        } => smaller_chunks(*chunk_rows, *longest_first, *by_density),
        Action::RefreshStatistics => {
            "bring the table's statistics up to date (ANALYZE): the plan was made from them"
                .to_owned()
        }
        Action::ReadLess => "to be faster, ask the source for less: --columns, --where".to_owned(),
        Action::NearerSource => {
            "to be faster, run nearer to the source, or let the network carry less: --columns, --where"
                .to_owned()
        }
        Action::CheaperEncoding => {
            "to be faster, use a machine with more processors, or cheaper --compression".to_owned()
        }
        Action::FasterStorage => {
            "to be faster, write to a faster place, or use stronger --compression".to_owned()
        }
        Action::LookAtStorage => "see what else the output's disk did then".to_owned(),
        Action::LookAtMachine => "see what else this machine did then".to_owned(),
        Action::LookAtSource => {
            "see what else the source, or the network to it, did then".to_owned()
        }
        Action::LookAtNetwork => {
            "see what else the network to the source carried then".to_owned()
        }
        Action::LeaveCountOut => {
            "to be faster, leave the server's count out with --proof stream, a weaker proof"
                .to_owned()
        }
        Action::FewerSessions => {
            "to be faster, open fewer sessions: fewer workers, or a pooler near the server"
                .to_owned()
        }
    }
}

fn smaller_chunks(chunk_rows: u64, longest_first: bool, by_density: bool) -> String {
    let active = match (longest_first, by_density) {
        (true, true) => {
            "the longest chunks went first and bounds were at equal numbers of rows already; "
        }
        (true, false) => "the longest chunks went first already; ",
        (false, true) => "bounds were at equal numbers of rows already; ",
        (false, false) => "",
    };
    format!("{active}smaller chunks even the work out: --chunk-rows {chunk_rows}")
}

/// What most of the worker time depended on, in one line.
pub fn limit(went: &Attribution, waits: WaitedFor) -> String {
    let Some(limit) = went.limit() else {
        return "too short to tell where the time went".to_owned();
    };
    let share = |permille: u32| units::percent(u64::from(permille), 1000);
    let whole = share(went.part_permille(limit));
    match limit {
        Part::Source => source_limit(went, waits),
        Part::Processor => format!(
            "this machine was the limit: {whole} of worker time went into decoding and encoding"
        ),
        Part::Storage => {
            format!("the output's disk was the limit: {whole} of worker time waited for it")
        }
        Part::Opening => {
            format!("connecting was the limit: {whole} of worker time went into sessions")
        }
        Part::Trouble => {
            format!("trouble was the limit: {whole} of worker time went into retries and pauses")
        }
        Part::Count => {
            format!("the proof was the limit: {whole} of worker time waited for the server's count")
        }
        Part::Balance => format!("uneven work was the limit: {whole} of worker time had no chunk"),
    }
}

/// The server, the network, or what is known of neither.
fn source_limit(went: &Attribution, waits: WaitedFor) -> String {
    let share = |permille: u32| units::percent(u64::from(permille), 1000);
    let (rows, answer) = (
        went.permille(Activity::Rows),
        went.permille(Activity::Answer),
    );
    let waited = if rows >= answer {
        format!("{} of worker time waited for rows", share(rows))
    } else {
        format!(
            "{} of worker time waited for answers to begin",
            share(answer)
        )
    };
    let Some(network_permille) = waits.network_permille() else {
        return format!("the source was the limit: {waited}");
    };
    let limit = if waits.is_network() {
        "network"
    } else {
        "server"
    };
    let whose = shared(network_permille, waits.looks());
    format!("the {limit} was the limit: {waited}; {whose}")
}

/// What is known of whose doing the waiting for the source was, as a note below the times.
pub fn told_apart(waits: WaitedFor) -> String {
    match waits.network_permille() {
        Some(share) => format!(
            "Of the waiting for the source about {} was the network's, the rest the server's: {} while \
             workers waited found the server waiting for us {}.",
            units::percent(u64::from(share), 1000),
            units::plural(u64::from(waits.looks()), "look"),
            units::plural(u64::from(waits.network), "time")
        ),
        None if waits.looks() > 0 => format!(
            "{} at the server while workers waited: too few to tell it from the network.",
            units::plural(u64::from(waits.looks()), "look")
        ),
        None => {
            "While rows stream, this source and the way to it cannot be told apart from this end."
                .to_owned()
        }
    }
}

/// An activity's name in a table.
pub fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Opening => "getting sessions",
        Activity::Answer => "waiting for answers to begin",
        Activity::Rows => "waiting for rows",
        Activity::Decode => "decoding",
        Activity::Encode => "encoding",
        Activity::Write => "writing",
        Activity::Other => "lost attempts, opening files",
        Activity::BackOff => "pausing",
        Activity::Count => "waiting for the count",
        Activity::Idle => "without a chunk",
    }
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Source => "the source",
        Part::Processor => "decoding and encoding",
        Part::Storage => "writing",
        Part::Opening => "getting sessions",
        Part::Trouble => "retries and pauses",
        Part::Count => "the count",
        Part::Balance => "waiting for others",
    }
}

/// An anomaly in one line.
pub fn anomaly(anomaly: &Anomaly) -> String {
    let (arrow, word) = match anomaly.direction {
        Direction::Degradation => ("↓", "slower"),
        Direction::Improvement => ("↗", "faster"),
    };
    format!(
        "{arrow} much {word} than usual: {} against a mean of {} over {} (z {:.2})",
        units::rate(anomaly.throughput),
        units::rate(anomaly.mean),
        units::plural(u64::from(anomaly.runs), "clean run"),
        anomaly.z
    )
}

/// A concern as a sentence.
pub fn concern(concern: &Concern) -> String {
    match concern {
        Concern::NoRuns => "no run of it has ended yet".to_owned(),
        Concern::LastRun { status } => format!("the last run ended as {}", status.name()),
        Concern::Anomalies { runs: 1 } => {
            "1 of the last three runs was out of the ordinary".to_owned()
        }
        Concern::Anomalies { runs } => {
            format!("{runs} of the last three runs were out of the ordinary")
        }
        Concern::Falling { permille } => {
            format!("the speed fell over the last runs ({})", signed(*permille))
        }
        Concern::NoProfile => "there is no profile".to_owned(),
        Concern::StaleProfile { hours } => {
            format!("the profile is {} old", units::plural(*hours, "hour"))
        }
        Concern::Old {
            age_s: None,
            most_s,
        } => format!(
            "nothing is published, and it may be {} old",
            units::span(*most_s)
        ),
        Concern::Old {
            age_s: Some(age_s),
            most_s,
        } => format!(
            "the newest published data is {} old, and may be {}",
            units::span(*age_s),
            units::span(*most_s)
        ),
        Concern::NotConverged => "the number of workers is still being searched for".to_owned(),
    }
}

/// A trend in words.
pub fn trend(trend: Trend) -> String {
    match trend {
        Trend::InsufficientHistory => "too few runs".to_owned(),
        Trend::InsufficientSignal => "too little speed to tell".to_owned(),
        Trend::Stable { permille } => format!("stable ({})", signed(permille)),
        Trend::Improving { permille } => format!("improving ({})", signed(permille)),
        Trend::Degrading { permille } => format!("degrading ({})", signed(permille)),
    }
}

/// A change with its sign, in percent.
pub fn signed(permille: i64) -> String {
    format!("{:+.1}%", permille as f64 / 10.0)
}

fn faster(permille: i64) -> String {
    let size = units::percent(permille.unsigned_abs(), 1000);
    let word = if permille < 0 { "slower" } else { "faster" };
    format!("{size} {word}")
}

fn millis(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        units::elapsed(Duration::from_millis(ms))
    }
}

fn micros(us: u64) -> String {
    if us < 1000 {
        format!("{us} µs")
    } else {
        format!("{:.1} ms", us as f64 / 1000.0)
    }
}

fn nanos(ns: u64) -> String {
    if ns < 1000 {
        format!("{ns} ns")
    } else {
        micros(ns / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunId, Severity};

    #[test]
    fn comparisons_read_as_half_sentences() {
        let since = || RunId::stored("rx-20260131-120000-0badcafe");
        let facts = [
            Evidence::First,
            Evidence::Changed {
                since: since(),
                permille: -254,
            },
            Evidence::Unchanged {
                since: since(),
                permille: 12,
            },
            Evidence::WorkersChanged { from: 4, to: 8 },
            Evidence::FewRuns { runs: 1, needed: 5 },
            Evidence::Usual { z: 0.64, runs: 9 },
            Evidence::Unusual {
                z: 7.3,
                mean: 860_500.0,
                runs: 10,
            },
            Evidence::LatencyRose {
                from_us: 300,
                to_us: 20_000,
            },
            Evidence::AnswersSlowed {
                from_ms: 5,
                to_ms: 1_900,
            },
            Evidence::SnapshotWaited {
                from_ms: 0,
                to_ms: 4_200,
            },
            Evidence::LookWaited {
                from_ms: 20,
                to_ms: 5_100,
            },
            Evidence::BackedOff { paused_ms: 3_000 },
        ];
        let text: Vec<String> = facts.iter().map(evidence).collect();
        insta::assert_snapshot!(text.join("\n"), @"
        there is no earlier clean run to compare with
        25% slower than 0badcafe
        as fast as 0badcafe (+1.2%)
        8 workers instead of 4
        1 clean run before it: 5 are needed to tell what is usual
        0.6 standard deviations from the mean of 9 clean runs before it: usual
        7.3 standard deviations from the mean of 10 clean runs before it (860.5K rows/s)
        a small query took 20.0 ms before the run, usually 300 µs
        chunks waited 1.90s for their first row, usually 5 ms
        the run waited 4.20s for its snapshot or a lock
        looking at the table before the run took 5.10s, usually 20 ms: it was locked, or the server slow
        answers took far longer than they may; workers paused 3.00s in all
        ");
    }

    #[test]
    fn measurements_read_as_half_sentences() {
        let skew = Skew {
            severity: Severity::High,
            ratio: 4.25,
            cv: 1.0,
            slowest: 8,
            size_ratio: 5.5,
            lost_permille: 312,
        };
        let facts = [
            Evidence::Uneven(skew),
            Evidence::Costlier {
                part: Part::Storage,
                from_ns: 80,
                to_ns: 4_100,
            },
            Evidence::RowsMispredicted {
                predicted: 500_000,
                rows: 1_000_000,
            },
            Evidence::SpeedMispredicted {
                predicted: 50_000.0,
                throughput: 100_000.0,
            },
        ];
        let text: Vec<String> = facts.iter().map(evidence).collect();
        insta::assert_snapshot!(text.join("\n"), @"
        chunk_008 took 4.2 times the median and held 5.5 times as much; 31% of the worker time was lost waiting for the last chunks
        writing took 4 µs of worker time a row, usually 80 ns
        1.0M rows, 500.0K were predicted
        100.0K rows/s, 50.0K rows/s were predicted
        ");
    }

    #[test]
    fn what_was_active_already_is_not_advised_again() {
        let smaller = |longest_first, by_density| {
            action(&Action::SmallerChunks {
                chunk_rows: 31_250,
                longest_first,
                by_density,
            })
        };
        assert_eq!(
            smaller(false, false),
            "smaller chunks even the work out: --chunk-rows 31250"
        );
        assert!(smaller(true, false).starts_with("the longest chunks went first already; "));
        assert!(smaller(true, true).contains("bounds were at equal numbers of rows already; "));
    }

    #[test]
    fn the_limit_is_named_with_its_share() {
        let went = Attribution {
            rows_ms: 710,
            answer_ms: 40,
            decode_ms: 150,
            encode_ms: 100,
            ..Attribution::default()
        };
        let waits = |server, network| WaitedFor { server, network };
        let says = "the source was the limit: 71% of worker time waited for rows";
        assert_eq!(limit(&went, waits(9, 0)), says);
        assert_eq!(
            limit(&went, waits(30, 10)),
            "the server was the limit: 71% of worker time waited for rows; the server was still at \
             work in 75% of 40 looks"
        );
        assert_eq!(
            limit(&went, waits(10, 30)),
            "the network was the limit: 71% of worker time waited for rows; the server waited for \
             the network to take what it had in 75% of 40 looks"
        );
        let went = Attribution {
            count_ms: 900,
            ..went
        };
        assert!(limit(&went, waits(30, 10)).starts_with("the proof was the limit: 47%"));
        assert_eq!(
            limit(&Attribution::default(), WaitedFor::default()),
            "too short to tell where the time went"
        );
    }
}

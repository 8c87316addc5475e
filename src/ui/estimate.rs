//! What an estimate rests on, and how far it can be trusted (facts sheet, section 3).

use super::{Line, table, units, wording};
use crate::model::{ConfidenceLevel, ConfidenceNote, Exclusion, Forecast, Grounds, MatchedRun};

/// Most notes on the confidence that are told; the rest is counted.
const NOTES_SHOWN: usize = 2;

/// Most runs that are listed one by one.
const MATCHES_SHOWN: usize = 10;

/// Most runs whose exclusion is told; the rest is counted.
const EXCLUDED_SHOWN: usize = 3;

/// Characters of a run's id that tell it apart: its tag.
const TAG: usize = 8;

/// Method and matches, and below them how far they can be trusted.
pub fn brief(forecast: &Forecast) -> String {
    format!(
        "{}\n· confidence {}",
        method(forecast),
        confidence(&forecast.grounds)
    )
}

/// How the throughput was estimated.
pub fn method(forecast: &Forecast) -> String {
    let grounds = &forecast.grounds;
    let runs = units::plural(u64::from(forecast.runs), "earlier run");
    let scaled = match grounds.scaled_by {
        Some(ratio) => format!(", times {ratio:.2} by the benchmark's curve"),
        None => String::new(),
    };
    match (forecast.runs, forecast.method.as_str(), grounds.workers) {
        (0, "benchmarked", _) => "no history yet: as the benchmark, which wrote nothing".to_owned(),
        (0, _, _) => "no history yet: a cautious guess".to_owned(),
        (_, "blended", Some(workers)) => format!(
            "blended from {runs} with {}, {} of them alike{scaled}",
            units::plural(u64::from(workers), "worker"),
            grounds.matched.len()
        ),
        (_, "ewma", Some(workers)) => format!(
            "moving average of {runs} with {}{scaled}",
            units::plural(u64::from(workers), "worker")
        ),
        _ => format!("from {runs}"),
    }
}

/// The level in capitals, the first notes, and a count of the rest.
fn confidence(grounds: &Grounds) -> String {
    let level = match grounds.confidence {
        ConfidenceLevel::High => "HIGH",
        ConfidenceLevel::Medium => "MEDIUM",
        ConfidenceLevel::Low => "LOW",
    };
    let mut notes: Vec<String> = grounds
        .notes
        .iter()
        .take(NOTES_SHOWN)
        .map(|of| note(*of).to_owned())
        .collect();
    let more = grounds.notes.len().saturating_sub(NOTES_SHOWN);
    if more > 0 {
        notes.push(format!("and {more} more"));
    }
    match notes.is_empty() {
        true => level.to_owned(),
        false => format!("{level}: {}", notes.join(", ")),
    }
}

fn note(note: ConfidenceNote) -> &'static str {
    match note {
        ConfidenceNote::FallbackUsed => "no run under like circumstances",
        ConfidenceNote::OtherWorkers => "no run with as many workers yet",
        ConfidenceNote::SparseEvidence => "hardly any evidence",
        ConfidenceNote::WeakMatch => "the best match is not very alike",
        ConfidenceNote::HighVariance => "alike runs differ much",
        ConfidenceNote::DominantMatch => "one run outweighs the rest",
    }
}

/// Everything about an estimate; nothing where it rests on no run.
pub fn full(forecast: &Forecast) -> Vec<Line> {
    let grounds = &forecast.grounds;
    if grounds.matched.is_empty() && grounds.excluded.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::Heading(format!(
        "Estimate: {} ({})",
        units::rate(forecast.throughput),
        forecast.method
    ))];
    if !grounds.matched.is_empty() {
        lines.push(matches(&grounds.matched));
        let more = grounds.matched.len().saturating_sub(MATCHES_SHOWN);
        if more > 0 {
            lines.push(Line::Text(format!("  and {more} more")));
        }
    }
    if let Some(share) = grounds.blend_weight {
        lines.push(Line::fact(
            "weight",
            format!(
                "{} these runs, the rest the moving average of all {}",
                wording::share(share),
                forecast.runs
            ),
        ));
    }
    if let (Some(dominance), Some(variation)) = (grounds.dominance, grounds.variation) {
        lines.push(Line::fact(
            "agreement",
            format!(
                "variation {variation:.2}; the heaviest run has {} of the weight",
                wording::share(dominance)
            ),
        ));
    }
    if let Some((low, high)) = grounds.clamped_to {
        lines.push(Line::fact(
            "kept within",
            format!("{} and {}", units::rate(low), units::rate(high)),
        ));
    }
    lines.extend(excluded(grounds));
    lines
}

fn matches(matched: &[MatchedRun]) -> Line {
    let rows = matched.iter().take(MATCHES_SHOWN).enumerate();
    let rows = rows.map(|(index, run)| {
        vec![
            tag(run.run.tag()),
            format!("{:.2}", run.score),
            units::rate(run.throughput),
            format!("{:.1}", run.age_days),
            run.source_load.map_or("?", wording::load).to_owned(),
            run.network_quality.map_or("?", wording::network).to_owned(),
            wording::time_band(run.time_band),
            run.concurrent_extractions.to_string(),
            if index == 0 { "most alike" } else { "" }.to_owned(),
        ]
    });
    let header = [
        "run", "alike", "speed", "days", "load", "network", "hours", "beside", "",
    ];
    table::grid(&header, rows.collect(), &[1, 2, 3, 7])
}

fn excluded(grounds: &Grounds) -> Option<Line> {
    let mut told: Vec<String> = grounds
        .excluded
        .iter()
        .take(EXCLUDED_SHOWN)
        .map(|run| format!("{}: {}", tag(run.run.tag()), exclusion(run.why)))
        .collect();
    let more = grounds.excluded.len().saturating_sub(EXCLUDED_SHOWN);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    (!told.is_empty()).then(|| Line::fact("left out", told.join("\n")))
}

fn exclusion(why: Exclusion) -> String {
    match why {
        Exclusion::NoContextRecorded => "its circumstances were not recorded".to_owned(),
        Exclusion::BenchmarkRun => "a benchmark is no run".to_owned(),
        Exclusion::InvalidContext => "what was recorded cannot be read".to_owned(),
        Exclusion::RowGrowth { then, now, score } => format!(
            "{} rows then, {} now (alike {score:.2})",
            units::count(then),
            units::count(now)
        ),
        Exclusion::ScoreTooLow { score, least } => {
            format!("alike {score:.2}, and {least:.2} is the least")
        }
    }
}

fn tag(id: &str) -> String {
    id.chars().take(TAG).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExcludedRun, NetworkLevel, RunId, SourceLoad};
    use crate::planner::fixtures;
    use crate::ui::plain;

    fn forecast(method: &str, grounds: Grounds) -> Forecast {
        Forecast {
            method: method.to_owned(),
            runs: 7,
            grounds,
            ..fixtures::plan(fixtures::profile(3_000_000)).forecast
        }
    }

    fn run(tag: &str) -> RunId {
        RunId::stored(format!("rx-20260101-000000-{tag}"))
    }

    fn matched(tag: &str, score: f64) -> MatchedRun {
        MatchedRun {
            run: run(tag),
            score,
            throughput: 240_000.0,
            age_days: 1.25,
            source_load: Some(SourceLoad::Low),
            network_quality: Some(NetworkLevel::Excellent),
            time_band: 2,
            concurrent_extractions: 1,
        }
    }

    #[test]
    fn a_blended_estimate_shows_its_runs() {
        let left_out = |tag, why| ExcludedRun { run: run(tag), why };
        let grounds = Grounds {
            confidence: ConfidenceLevel::Medium,
            notes: vec![
                ConfidenceNote::WeakMatch,
                ConfidenceNote::HighVariance,
                ConfidenceNote::DominantMatch,
            ],
            workers: Some(6),
            scaled_by: None,
            blend_weight: Some(0.62),
            clamped_to: Some((180_000.0, 300_000.0)),
            dominance: Some(0.75),
            variation: Some(0.31),
            matched: vec![matched("aaaaaaaa", 0.62), matched("bbbbbbbb", 0.4)],
            excluded: vec![
                left_out("c1c1c1c1", Exclusion::NoContextRecorded),
                left_out(
                    "c2c2c2c2",
                    Exclusion::ScoreTooLow {
                        score: 0.11,
                        least: 0.2,
                    },
                ),
                left_out(
                    "c3c3c3c3",
                    Exclusion::RowGrowth {
                        then: 1_000,
                        now: 3_000_000,
                        score: 0.9,
                    },
                ),
                left_out("c4c4c4c4", Exclusion::InvalidContext),
            ],
        };
        let forecast = forecast("blended", grounds);
        insta::assert_snapshot!(plain(&full(&forecast)), @"
        Estimate: 600.0K rows/s (blended)
          run       alike          speed  days  load  network    hours  beside
          aaaaaaaa   0.62  240.0K rows/s   1.2  low   excellent  08-12       1  most alike
          bbbbbbbb   0.40  240.0K rows/s   1.2  low   excellent  08-12       1
          weight       62 % these runs, the rest the moving average of all 7
          agreement    variation 0.31; the heaviest run has 75 % of the weight
          kept within  180.0K rows/s and 300.0K rows/s
          left out     c1c1c1c1: its circumstances were not recorded
                       c2c2c2c2: alike 0.11, and 0.20 is the least
                       c3c3c3c3: 1.0K rows then, 3.0M now (alike 0.90)
                       and 1 more
        ");
        insta::assert_snapshot!(brief(&forecast), @"
        blended from 7 earlier runs with 6 workers, 2 of them alike
        · confidence MEDIUM: the best match is not very alike, alike runs differ much, and 1 more
        ");
    }

    #[test]
    fn an_estimate_that_a_benchmark_scaled_says_so() {
        let grounds = Grounds {
            notes: vec![ConfidenceNote::OtherWorkers],
            workers: Some(2),
            scaled_by: Some(1.8),
            ..Grounds::none()
        };
        insta::assert_snapshot!(brief(&forecast("ewma", grounds)), @"
        moving average of 7 earlier runs with 2 workers, times 1.80 by the benchmark's curve
        · confidence LOW: no run with as many workers yet
        ");
    }

    #[test]
    fn a_guess_says_that_it_is_one() {
        let forecast = Forecast {
            runs: 0,
            ..forecast("cold_start", Grounds::none())
        };
        insta::assert_snapshot!(brief(&forecast), @"
        no history yet: a cautious guess
        · confidence LOW: no run under like circumstances, hardly any evidence
        ");
        assert_eq!(full(&forecast).len(), 0);
    }
}

//! Runs under like circumstances, weighed against the average of all (facts sheet, section 3).

use jiff::Timestamp;

use super::ewma;
use super::similarity::{self, rounded};
use crate::model::{
    ConfidenceLevel, ConfidenceNote, ExcludedRun, Exclusion, ExecutionContext, Grounds, MatchedRun,
    PastRun, Recorded,
};

/// A run's weight falls by this factor of e a day: half of it is gone after a fortnight.
const DECAY_PER_DAY: f64 = 0.05;

/// Runs with recorded circumstances from which on they count in full.
const FULL_DEPTH: f64 = 10.0;

/// Matches of less weight than this together are none.
const WEIGHT_EPSILON: f64 = 1e-6;

/// An estimate stays within these multiples of the slowest and the fastest run it rests on.
const CLAMP: (f64, f64) = (0.75, 1.25);

/// A clamp that moves an estimate by less, in rows per second, is not worth telling.
const TOLD_CLAMP: f64 = 1.0;

/// Runs that are less alike are not compared.
const LEAST_SCORE: f64 = 0.20;

/// The best match must be this much alike for medium confidence,
const MEDIUM_SCORE: f64 = 0.50;

/// for high confidence,
const HIGH_SCORE: f64 = 0.70;

/// and not to be called weak.
const STRONG_SCORE: f64 = 0.65;

/// A match with a larger share of the decayed weight outweighs the rest.
const DOMINANT_SHARE: f64 = 0.70;

/// Matches that vary more than this, as a coefficient, do not agree.
const HIGH_VARIATION: f64 = 0.20;

/// An estimated speed, in rows per second, and its grounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blend {
    pub(super) rows_per_s: f64,
    pub(super) grounds: Grounds,
}

/// Estimates from `runs`, newest first and all usable, under the circumstances of `now`.
pub(super) fn estimate(runs: &[&PastRun], context: &ExecutionContext, now: Timestamp) -> Blend {
    let (matched, excluded) = compare(runs, context, now);
    let oldest_first: Vec<f64> = runs.iter().rev().map(|run| run.throughput).collect();
    let average = ewma(&oldest_first);
    let known = runs.iter().filter(|run| run.context.known().is_some());
    let weights: Vec<f64> = matched.iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    let best = matched.first().map_or(0.0, |run| run.score);
    let mut grounds = Grounds {
        workers: runs.first().map(|run| run.workers),
        excluded,
        ..Grounds::none()
    };
    if matched.is_empty() || total < WEIGHT_EPSILON {
        let doubt = match matched.is_empty() {
            true => Some(ConfidenceNote::SparseEvidence),
            false => (best < STRONG_SCORE).then_some(ConfidenceNote::WeakMatch),
        };
        grounds.notes = [Some(ConfidenceNote::FallbackUsed), doubt]
            .into_iter()
            .flatten()
            .collect();
        grounds.matched = matched;
        return clamped(average, &oldest_first, grounds);
    }
    let weighed = matched.iter().zip(&weights);
    let alike = weighed
        .map(|(run, weight)| run.throughput * weight)
        .sum::<f64>()
        / total;
    let share = (best * (known.count() as f64 / FULL_DEPTH).min(1.0)).clamp(0.0, 1.0);
    let heaviest = heaviest_share(&weights, total);
    grounds.dominance = heaviest.map(|share| rounded(share, 3));
    grounds.variation = heaviest.map(|_| rounded(variation(&matched), 3));
    grounds.blend_weight = Some(rounded(share, 4));
    (grounds.confidence, grounds.notes) = judge(&matched, heaviest);
    grounds.matched = matched;
    clamped(
        share * alike + (1.0 - share) * average,
        &oldest_first,
        grounds,
    )
}

/// Runs that are alike enough, most alike first, and the others with the first reason against them.
fn compare(
    runs: &[&PastRun],
    now_is: &ExecutionContext,
    now: Timestamp,
) -> (Vec<MatchedRun>, Vec<ExcludedRun>) {
    let (mut matched, mut excluded) = (Vec::new(), Vec::new());
    for run in runs {
        match candidate(run, now_is, now) {
            Ok(found) => matched.push(found),
            Err(why) => excluded.push(ExcludedRun {
                run: run.id.clone(),
                why,
            }),
        }
    }
    // Stable: of equal ones the newer stays first.
    matched.sort_by(|one: &MatchedRun, other| other.score.total_cmp(&one.score));
    (matched, excluded)
}

fn candidate(
    run: &PastRun,
    now_is: &ExecutionContext,
    now: Timestamp,
) -> Result<MatchedRun, Exclusion> {
    let context = match &run.context {
        Recorded::Nothing => return Err(Exclusion::NoContextRecorded),
        Recorded::Benchmark => return Err(Exclusion::BenchmarkRun),
        Recorded::Unreadable => return Err(Exclusion::InvalidContext),
        Recorded::Known(context) => context,
    };
    let score = similarity::compare(now_is, context).score;
    let (then, rows) = (context.row_estimate, now_is.row_estimate);
    if similarity::has_outgrown(then, rows) {
        return Err(Exclusion::RowGrowth {
            then,
            now: rows,
            score,
        });
    }
    if score < LEAST_SCORE {
        let least = LEAST_SCORE;
        return Err(Exclusion::ScoreTooLow { score, least });
    }
    Ok(MatchedRun {
        run: run.id.clone(),
        score,
        throughput: run.throughput,
        age_days: rounded(age_days(run.started_at, now), 3),
        source_load: context.source_load,
        network_quality: context.network_quality,
        time_band: context.time_band,
        concurrent_extractions: context.concurrent_extractions,
    })
}

/// Days from `then` to `now`; a run of the future, by a clock that was wrong, is new.
fn age_days(then: Timestamp, now: Timestamp) -> f64 {
    (now.duration_since(then).as_secs_f64() / 86_400.0).max(0.0)
}

/// How much a match counts: less with every day.
fn weight(run: &MatchedRun) -> f64 {
    run.score * (-DECAY_PER_DAY * run.age_days).exp()
}

/// Coefficient of variation of the matches' throughput; population.
fn variation(matched: &[MatchedRun]) -> f64 {
    let count = matched.len() as f64;
    let mean = matched.iter().map(|run| run.throughput).sum::<f64>() / count;
    if matched.len() < 2 || mean <= 0.0 {
        return 0.0;
    }
    let squares = matched.iter().map(|run| (run.throughput - mean).powi(2));
    (squares.sum::<f64>() / count).sqrt() / mean
}

/// Share of the heaviest of several matches; of one alone there is nothing to outweigh.
fn heaviest_share(weights: &[f64], total: f64) -> Option<f64> {
    let heaviest = weights.iter().copied().fold(0.0, f64::max);
    (weights.len() > 1).then_some(heaviest / total)
}

/// How far matches, most alike first, can be trusted, and why no further.
fn judge(matched: &[MatchedRun], heaviest: Option<f64>) -> (ConfidenceLevel, Vec<ConfidenceNote>) {
    let best = matched.first().map_or(0.0, |run| run.score);
    let mut level = match matched.len() {
        3.. if best >= HIGH_SCORE => ConfidenceLevel::High,
        2.. if best >= MEDIUM_SCORE => ConfidenceLevel::Medium,
        _ => ConfidenceLevel::Low,
    };
    let mut notes = Vec::new();
    if matched.len() == 1 {
        notes.push(ConfidenceNote::SparseEvidence);
    }
    if best < STRONG_SCORE {
        notes.push(ConfidenceNote::WeakMatch);
    }
    if variation(matched) > HIGH_VARIATION {
        level = level.lowered();
        notes.push(ConfidenceNote::HighVariance);
    }
    if heaviest.is_some_and(|share| share > DOMINANT_SHARE) {
        level = level.lowered();
        notes.push(ConfidenceNote::DominantMatch);
    }
    (level, notes)
}

/// Holds an estimate near what was seen. A plain average cannot leave that range; a blend of few runs
/// against a whole history can.
fn clamped(value: f64, seen: &[f64], mut grounds: Grounds) -> Blend {
    let slowest = seen.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (CLAMP.0 * slowest.max(0.0), CLAMP.1 * fastest);
    let held = value.max(low).min(high);
    if (held - value).abs() > TOLD_CLAMP {
        grounds.clamped_to = Some((low, high));
    }
    Blend {
        rows_per_s: rounded(held, 1),
        grounds,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::estimator::similarity::tests::context;
    use crate::estimator::tests::run;
    use crate::model::{NetworkLevel, RunId, SourceLoad};

    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_second(1_770_000_000).expect("a time of this century")
    }

    fn here() -> ExecutionContext {
        context(SourceLoad::Low, 0, 0, Some(0.0), NetworkLevel::Excellent)
    }

    /// A run so many days ago under these circumstances.
    fn past(days: i64, throughput: f64, recorded: Recorded) -> PastRun {
        PastRun {
            started_at: now() - jiff::SignedDuration::from_secs(days * DAY),
            context: recorded,
            ..run(2, throughput, true)
        }
    }

    fn blend(runs: &[PastRun]) -> Blend {
        estimate(&runs.iter().collect::<Vec<_>>(), &here(), now())
    }

    fn matched(score: f64, throughput: f64, age_days: f64) -> MatchedRun {
        MatchedRun {
            run: RunId::stored("rx"),
            score,
            throughput,
            age_days,
            source_load: None,
            network_quality: None,
            time_band: 0,
            concurrent_extractions: 0,
        }
    }

    #[test]
    fn the_facts_sheets_blend_has_its_value() {
        let matches = [
            matched(0.91, 224_000.0, 0.0),
            matched(0.84, 236_000.0, 14.0),
            matched(0.71, 209_000.0, 28.0),
        ];
        let history = [209_000.0, 236_000.0, 224_000.0];
        let weights = matches.each_ref().map(weight);
        let total: f64 = weights.iter().sum();
        let products = matches.iter().zip(weights).map(|(of, w)| of.throughput * w);
        let alike = products.sum::<f64>() / total;
        let value = 0.91 * alike + 0.09 * ewma(&history);
        let blend = clamped(value, &history, Grounds::none());
        assert_eq!(blend.rows_per_s, 225_006.6);
        assert_eq!(blend.grounds.clamped_to, None);
        let (level, notes) = judge(&matches, heaviest_share(&weights, total));
        assert_eq!((level, notes), (ConfidenceLevel::High, Vec::new()));
    }

    #[test]
    fn an_estimate_stays_near_what_was_seen() {
        let history = [100_000.0, 150_000.0, 200_000.0];
        let held = |value| clamped(value, &history, Grounds::none());
        assert_eq!(held(345_000.0).rows_per_s, 250_000.0);
        let bounds = Some((75_000.0, 250_000.0));
        assert_eq!(held(345_000.0).grounds.clamped_to, bounds);
        assert_eq!(held(10.0).rows_per_s, 75_000.0);
        assert_eq!(held(120_000.04).rows_per_s, 120_000.0);
        assert_eq!(held(250_000.9).grounds.clamped_to, None);
    }

    #[test]
    fn alike_runs_draw_the_estimate_towards_them_as_they_become_more() {
        let alike = |count: usize| {
            let busy = context(
                SourceLoad::Critical,
                9,
                3,
                Some(2.0),
                NetworkLevel::Excellent,
            );
            let mut runs = vec![past(0, 100.0, Recorded::Known(busy)); 10 - count];
            runs.extend(vec![past(0, 200.0, Recorded::Known(here())); count]);
            blend(&runs)
        };
        let one = alike(1);
        assert_eq!(one.grounds.blend_weight, Some(1.0));
        assert_eq!(one.rows_per_s, 200.0, "{one:?}");
        assert_eq!(one.grounds.confidence, ConfidenceLevel::Low);
        assert_eq!(one.grounds.notes, [ConfidenceNote::SparseEvidence]);
        assert_eq!(one.grounds.excluded.len(), 9);
        assert_eq!(alike(2).grounds.confidence, ConfidenceLevel::Medium);
        assert_eq!(alike(3).grounds.confidence, ConfidenceLevel::High);
        let few = blend(&[
            past(0, 100.0, Recorded::Nothing),
            past(1, 200.0, Recorded::Known(here())),
        ]);
        assert_eq!(few.grounds.blend_weight, Some(0.1));
        // The moving average of 200, then 100, is 170.
        assert_eq!(few.rows_per_s, 0.1 * 200.0 + 0.9 * 170.0);
    }

    #[test]
    fn the_first_reason_against_a_run_is_the_one_that_is_told() {
        let mut grown = here();
        grown.row_estimate = 2_000_001;
        let alien = context(SourceLoad::Critical, 20, 3, Some(2.0), NetworkLevel::Poor);
        let blend = blend(&[
            past(0, 100.0, Recorded::Nothing),
            past(0, 100.0, Recorded::Benchmark),
            past(0, 100.0, Recorded::Unreadable),
            past(0, 100.0, Recorded::Known(grown)),
            past(0, 100.0, Recorded::Known(alien)),
        ]);
        let why: Vec<Exclusion> = blend.grounds.excluded.iter().map(|run| run.why).collect();
        let expected = [
            Exclusion::NoContextRecorded,
            Exclusion::BenchmarkRun,
            Exclusion::InvalidContext,
            Exclusion::RowGrowth {
                then: 2_000_001,
                now: 1_000_000,
                score: 1.0,
            },
            Exclusion::ScoreTooLow {
                score: 0.0301,
                least: 0.2,
            },
        ];
        assert_eq!(why, expected);
        assert_eq!(blend.rows_per_s, 100.0);
        let notes = [ConfidenceNote::FallbackUsed, ConfidenceNote::SparseEvidence];
        assert_eq!(blend.grounds.notes, notes);
    }

    #[test]
    fn matches_without_weight_are_none() {
        let blend = blend(&[past(400, 100.0, Recorded::Known(here()))]);
        assert_eq!(blend.grounds.blend_weight, None);
        assert_eq!(blend.grounds.notes, [ConfidenceNote::FallbackUsed]);
        assert_eq!(blend.grounds.matched.len(), 1);
    }

    #[test]
    fn variance_and_dominance_lower_the_level_one_step_each() {
        let scores = |runs: &[(f64, f64, f64)]| {
            let runs: Vec<MatchedRun> = runs
                .iter()
                .map(|(score, throughput, age)| matched(*score, *throughput, *age))
                .collect();
            let weights: Vec<f64> = runs.iter().map(weight).collect();
            judge(&runs, heaviest_share(&weights, weights.iter().sum()))
        };
        use ConfidenceLevel::{High, Low, Medium};
        use ConfidenceNote::{DominantMatch, HighVariance, SparseEvidence, WeakMatch};
        let even = [(0.7, 100.0, 0.0), (0.7, 100.0, 0.0), (0.2, 100.0, 0.0)];
        assert_eq!(scores(&even), (High, vec![]));
        assert_eq!(scores(&even[1..]), (Low, vec![DominantMatch]));
        let varied = [(0.7, 100.0, 0.0), (0.7, 200.0, 0.0), (0.7, 100.0, 0.0)];
        assert_eq!(scores(&varied), (Medium, vec![HighVariance]));
        let lonely = [(0.8, 100.0, 0.0), (0.7, 300.0, 60.0), (0.7, 100.0, 60.0)];
        assert_eq!(scores(&lonely), (Low, vec![HighVariance, DominantMatch]));
        let weak = [(0.64, 100.0, 0.0), (0.6, 100.0, 0.0)];
        assert_eq!(scores(&weak), (Medium, vec![WeakMatch]));
        let single = [(0.5, 100.0, 0.0)];
        assert_eq!(scores(&single), (Low, vec![SparseEvidence, WeakMatch]));
    }

    fn any_recorded() -> impl Strategy<Value = Recorded> {
        prop_oneof![
            Just(Recorded::Nothing),
            (0u32..25, 0u8..6, 0.0f64..2.0).prop_map(|(running, band, load)| {
                let network = NetworkLevel::Good;
                let context = context(SourceLoad::Normal, running, band, Some(load), network);
                Recorded::Known(context)
            })
        ]
    }

    proptest! {
        #[test]
        fn an_estimate_is_within_its_clamps_and_every_run_is_accounted_for(
            runs in proptest::collection::vec((0i64..100, 1.0f64..1e9, any_recorded()), 1..30),
        ) {
            let runs: Vec<PastRun> = runs
                .into_iter()
                .map(|(days, throughput, recorded)| past(days, throughput, recorded))
                .collect();
            let blend = blend(&runs);
            let all = || runs.iter().map(|run| run.throughput);
            let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
            prop_assert!(blend.rows_per_s >= 0.75 * low - 0.1);
            prop_assert!(blend.rows_per_s <= 1.25 * high + 0.1);
            let grounds = &blend.grounds;
            prop_assert_eq!(grounds.matched.len() + grounds.excluded.len(), runs.len());
            prop_assert!(grounds.matched.windows(2).all(|pair| pair[0].score >= pair[1].score));
            prop_assert!(grounds.notes.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(grounds.blend_weight.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}

//! What the last runs of one count say about the source (facts sheet, section 7, with the signs that
//! the product's decisions give it): judged is degradation, never whether another count is better.

use super::curve::NOISE;

/// Runs that a trend is judged by.
const WINDOW: usize = 5;

/// A run slower than the one before by more than this counts as down.
const DOWN: f64 = -0.01;

/// Share of the steps that must go down for a decline.
const DOWN_SHARE: f64 = 0.8;

/// A decline: the later half is slower than the earlier by more than this.
const DECLINE: f64 = -0.10;

/// …and by more than this many standard errors of that difference. Runs that go down five times in a
/// row were picked for it: of a hundred noisy windows several do, so two errors would not say much.
const SIGNIFICANT: f64 = 3.0;

/// A drop: one run slower than the one before by at least this.
const DROP: f64 = -0.15;

/// Drops in a row, and how much slower they leave the window, before workers are cut hard.
const DROPS: (usize, f64) = (3, -0.20);

/// A changed level: slower by more than this, or faster by as much the other way round.
const CHANGE: f64 = 0.30;

/// Runs that must all show the new level: one disturbed run in thirty is common, three in a row are
/// not.
pub(super) const CHANGE_RUNS: usize = 3;

/// Runs that must have shown the old level.
const LEVEL_RUNS: usize = 3;

/// What the last runs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trend {
    /// Nothing.
    Steady,
    /// Slower run by run; by how many thousandths over the window.
    Declining { permille: i32 },
    /// Sharp drops in a row; by how many thousandths in all.
    Dropping { permille: i32 },
    /// Another level; by how many thousandths.
    Changed { permille: i32 },
    /// Perhaps another level: too few runs show it to tell it from a disturbance.
    Doubtful,
}

/// The trend of throughputs of one count, oldest first.
pub(super) fn of(throughputs: &[f64]) -> Trend {
    let window = &throughputs[throughputs.len().saturating_sub(WINDOW)..];
    dropping(window)
        .or_else(|| changed(throughputs))
        .or_else(|| declining(throughputs))
        .or_else(|| doubtful(throughputs))
        .unwrap_or(Trend::Steady)
}

fn dropping(window: &[f64]) -> Option<Trend> {
    let (first, last) = (window.first()?, window.last()?);
    let tail = &window[window.len().checked_sub(DROPS.0 + 1)?..];
    let total = change(*first, *last);
    let sharp = steps(tail).all(|step| step <= DROP);
    (sharp && total <= DROPS.1).then(|| Trend::Dropping {
        permille: super::permille(total),
    })
}

fn declining(throughputs: &[f64]) -> Option<Trend> {
    let (before, window) = throughputs.split_at(throughputs.len().checked_sub(WINDOW)?);
    let down = steps(window).filter(|step| *step < DOWN).count() as f64;
    let (earlier, later) = window.split_at(window.len() / 2);
    // Noise, too, goes down five times in a row now and then, but from where it was high.
    let (from, error) = if before.is_empty() {
        (mean(earlier), 0.0)
    } else {
        let runs = before.len().max(earlier.len()) as f64;
        let error = deviation(before) * (1.0 / runs + 1.0 / later.len() as f64).sqrt();
        (mean(before).min(mean(earlier)), error)
    };
    let by = change(from, mean(later));
    let beyond = DECLINE.min(-SIGNIFICANT * error);
    let declines = down / (window.len() - 1) as f64 >= DOWN_SHARE && by < beyond;
    declines.then(|| Trend::Declining {
        permille: super::permille(by),
    })
}

fn changed(throughputs: &[f64]) -> Option<Trend> {
    let by = another_level(throughputs, CHANGE_RUNS)?;
    Some(Trend::Changed {
        permille: super::permille(by),
    })
}

fn doubtful(throughputs: &[f64]) -> Option<Trend> {
    let few = (1..CHANGE_RUNS).find_map(|runs| another_level(throughputs, runs));
    few.map(|_| Trend::Doubtful)
}

/// How far the last `runs` runs are from those before, if every one is by more than [`CHANGE`]: the
/// mean of a disturbed run and a usual one says nothing.
fn another_level(throughputs: &[f64], runs: usize) -> Option<f64> {
    let (before, now) = throughputs.split_at(throughputs.len().checked_sub(runs)?);
    if before.len() < LEVEL_RUNS {
        return None;
    }
    let before = mean(before);
    let slower = now.iter().all(|now| *now < before * (1.0 - CHANGE));
    let faster = now.iter().all(|now| before < now * (1.0 - CHANGE));
    (slower || faster).then(|| change(before, mean(now)))
}

/// Relative changes from run to run.
fn steps(values: &[f64]) -> impl Iterator<Item = f64> {
    values.windows(2).map(|pair| change(pair[0], pair[1]))
}

fn change(from: f64, to: f64) -> f64 {
    if from > 0.0 { (to - from) / from } else { 0.0 }
}

/// How much a run deviates from the mean of its count, as a share: what is held of it beforehand, and what
/// these runs show.
fn deviation(values: &[f64]) -> f64 {
    let (mean, (held, runs)) = (mean(values), NOISE);
    let squares = values.iter().map(|value| (value / mean - 1.0).powi(2));
    let freedom = runs + values.len().saturating_sub(1) as f64;
    ((runs * held * held + squares.sum::<f64>()) / freedom).sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(thousands: &[u32]) -> Trend {
        let values: Vec<f64> = thousands.iter().map(|value| f64::from(*value)).collect();
        super::of(&values)
    }

    #[test]
    fn a_steady_decline_is_one_only_when_the_window_is_full() {
        let declining = Trend::Declining { permille: -112 };
        assert_eq!(of(&[220, 210, 198, 190, 185]), declining);
        assert_eq!(of(&[210, 198, 190, 185]), Trend::Steady);
        assert_eq!(of(&[220, 215, 211, 208, 206]), Trend::Steady, "mild");
        assert_eq!(of(&[220, 190, 200, 185, 190]), Trend::Steady, "mixed");
        assert_eq!(of(&[200, 210, 220, 230, 240]), Trend::Steady, "rising");
    }

    #[test]
    fn a_decline_is_more_than_the_noise_there_was_before() {
        let declining = Trend::Declining { permille: -129 };
        let quiet = [200, 204, 196, 200, 205, 195, 190, 175, 168, 160];
        assert_eq!(of(&quiet), declining);
        let noisy = [240, 160, 230, 170, 200, 205, 195, 190, 175, 168, 163];
        assert_eq!(of(&noisy), Trend::Steady);
    }

    #[test]
    fn a_decline_says_the_more_the_more_runs_there_were_before() {
        let few = [200, 205, 195, 190, 170, 163];
        assert_eq!(of(&few), Trend::Steady);
        let many = [200, 200, 200, 200, 200, 205, 195, 190, 170, 163];
        assert_eq!(of(&many), Trend::Declining { permille: -128 });
    }

    #[test]
    fn sharp_drops_need_four_values() {
        assert_eq!(
            of(&[220, 185, 155, 130]),
            Trend::Dropping { permille: -409 }
        );
        assert_eq!(
            of(&[185, 155, 130]),
            Trend::Steady,
            "two drops are not three"
        );
        assert_eq!(
            of(&[100, 95, 78, 65, 54]),
            Trend::Dropping { permille: -460 }
        );
        assert_eq!(of(&[220, 185, 170, 145]), Trend::Steady, "one is not sharp");
        assert_eq!(
            of(&[100, 200, 170, 144, 122]),
            Trend::Steady,
            "no slower than the window's first"
        );
    }

    #[test]
    fn a_level_changes_with_three_runs_by_more_than_thirty_percent_each() {
        let changed = |permille| Trend::Changed { permille };
        assert_eq!(of(&[100, 100, 100, 60, 60, 60]), changed(-400));
        assert_eq!(of(&[60, 60, 60, 100, 100, 100]), changed(667));
        let steady =
            |thousands: &[u32], why: &str| assert_eq!(of(thousands), Trend::Steady, "{why}");
        steady(&[100, 100, 100, 80, 80, 80], "a fifth");
        steady(&[100, 100, 100, 70, 70, 70], "the limit itself");
        steady(&[100, 100, 100, 30, 30, 75], "two slow runs");
        steady(&[100, 100, 60], "too little before");
        assert_eq!(of(&[100, 100, 100, 60]), Trend::Doubtful);
        assert_eq!(of(&[100, 100, 100, 160, 160]), Trend::Doubtful);
    }
}

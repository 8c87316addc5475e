//! Courses of many runs, and what is asked of them.

use ixtract::controller::between_runs::Decision;
use ixtract::model::Learned;

/// One run of a course.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) workers: u32,
    /// The share of the oracle's throughput that so many workers reach, without noise.
    pub(crate) share: f64,
    /// `None` for the first, which nothing was known for.
    pub(crate) decision: Option<Decision>,
}

impl Run {
    fn why(&self) -> Option<&Learned> {
        self.decision.as_ref().map(|decision| &decision.why)
    }

    /// The count in use after this run, apart from trials.
    pub(crate) fn in_use(&self) -> u32 {
        let next = self.decision.as_ref().map(|decision| &decision.next);
        next.map_or(self.workers, |next| next.best)
    }

    /// Whether the search had converged before this run.
    pub(crate) fn converged(&self) -> bool {
        let next = self.decision.as_ref().map(|decision| &decision.next);
        next.is_some_and(|next| next.converged)
    }

    pub(crate) fn is_restart(&self) -> bool {
        matches!(self.why(), Some(Learned::Restarted { .. }))
    }

    /// Whether workers were taken away because the source has less to give.
    pub(crate) fn is_step_down(&self) -> bool {
        matches!(
            self.why(),
            Some(Learned::Declined { .. } | Learned::Dropped { .. })
        )
    }

    /// A letter for what kind of step it is.
    fn letter(&self) -> &'static str {
        match self.why() {
            None => "(start)",
            Some(Learned::Held { .. }) => "",
            Some(Learned::Adopted { .. }) => "!",
            Some(Learned::Tried { .. }) => "?",
            Some(Learned::Probed { .. }) => "~",
            Some(Learned::Declined { .. }) => "(-1)",
            Some(Learned::Dropped { .. }) => "(-2)",
            Some(Learned::Restarted { .. }) => "(restart)",
        }
    }
}

/// A course as text: workers, each with a letter for what kind of step it was.
pub(crate) fn told(course: &[Run]) -> String {
    let steps: Vec<String> = course
        .iter()
        .map(|run| format!("{}{}", run.workers, run.letter()))
        .collect();
    steps.join(" ")
}

/// How often the count in use changes.
pub(crate) fn changes(course: &[Run]) -> usize {
    course
        .windows(2)
        .filter(|pair| pair[0].in_use() != pair[1].in_use())
        .count()
}

/// The share of the runs with a number of workers no further than one from `best`.
pub(crate) fn near(course: &[Run], best: u32) -> f64 {
    let near = course
        .iter()
        .filter(|run| run.workers.abs_diff(best) <= 1)
        .count();
    near as f64 / course.len() as f64
}

/// The mean share of an oracle's throughput.
pub(crate) fn mean_share(course: &[Run]) -> f64 {
    course.iter().map(|run| run.share).sum::<f64>() / course.len() as f64
}

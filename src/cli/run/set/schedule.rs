//! Which table comes next: longest first, as many at once as there are sessions for. Pure.

/// What a table's run takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Task {
    /// Which it is.
    pub(super) index: usize,
    /// How long it is expected to take, in seconds.
    pub(super) expected_s: f64,
    /// Sessions that it takes: its workers', and the one that counts.
    pub(super) sessions: u32,
}

impl Task {
    /// The task of so many workers.
    pub(super) fn new(index: usize, expected_s: f64, workers: u32) -> Self {
        Self {
            index,
            expected_s,
            sessions: workers.saturating_add(1),
        }
    }
}

/// How many sessions the tables may take together: what the widest of them takes, so that together
/// they burden the source no more than one of them alone is planned to. Where all are small there are
/// to be `enough` nevertheless, or each would wait for the one before.
pub(super) fn budget(tasks: &[Task], enough: u32) -> u32 {
    let widest = tasks.iter().map(|task| task.sessions).max();
    widest.unwrap_or(0).max(enough)
}

/// Tasks that wait, and the sessions that are left.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The longest first.
    waiting: Vec<Task>,
    free: u32,
}

impl Schedule {
    /// All of them wait.
    pub(super) fn new(mut tasks: Vec<Task>, budget: u32) -> Self {
        tasks.sort_by(|one, other| {
            let longer = other.expected_s.total_cmp(&one.expected_s);
            longer.then(one.index.cmp(&other.index))
        });
        Self {
            waiting: tasks,
            free: budget,
        }
    }

    /// The longest that there are sessions for; it has them from now on.
    pub(super) fn next(&mut self) -> Option<Task> {
        let fits = self
            .waiting
            .iter()
            .position(|task| task.sessions <= self.free)?;
        let task = self.waiting.remove(fits);
        self.free -= task.sessions;
        Some(task)
    }

    /// A task has ended.
    pub(super) fn done(&mut self, task: Task) {
        self.free += task.sessions;
    }

    /// Whoever still waits, when nobody is to begin any more.
    pub(super) fn give_up(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_come_first_and_small_ones_fill_what_is_left() {
        let tasks = vec![
            Task::new(0, 1.0, 1),
            Task::new(1, 9.0, 2),
            Task::new(2, 5.0, 4),
            Task::new(3, 2.0, 1),
        ];
        assert_eq!(budget(&tasks, 3), 5);
        let mut schedule = Schedule::new(tasks, 5);
        let mut next = || schedule.next().map(|task| task.index);
        assert_eq!([next(), next(), next()], [Some(1), Some(3), None]);
    }

    #[test]
    fn small_tables_do_not_wait_for_each_other() {
        let tasks = vec![Task::new(0, 1.0, 1), Task::new(1, 1.0, 1)];
        let mut schedule = Schedule::new(tasks.clone(), budget(&tasks, 4));
        assert!(schedule.next().is_some() && schedule.next().is_some());
    }

    proptest! {
        #[test]
        fn every_task_runs_once_within_the_budget(
            widths in proptest::collection::vec((1u32..9, 0.0..9.0f64), 1..20),
            enough in 0u32..9,
        ) {
            let tasks: Vec<Task> = widths
                .iter()
                .enumerate()
                .map(|(index, (workers, expected))| Task::new(index, *expected, *workers))
                .collect();
            let most = budget(&tasks, enough);
            let mut schedule = Schedule::new(tasks.clone(), most);
            let (mut running, mut seen) = (Vec::<Task>::new(), Vec::new());
            loop {
                while let Some(task) = schedule.next() {
                    running.push(task);
                    seen.push(task.index);
                }
                prop_assert!(running.iter().map(|task| task.sessions).sum::<u32>() <= most);
                match running.pop() {
                    Some(task) => schedule.done(task),
                    None => break,
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..tasks.len()).collect::<Vec<_>>());
        }
    }
}

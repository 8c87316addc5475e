//! Removes runs that nobody needs any more.

use jiff::Timestamp;

use super::{Result, Store, stored_time};
use crate::model::{Pruned, RunId};

/// Which runs may go. What both rules name goes where both are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// Runs of each history that stay, the newest.
    pub keep: Option<u32>,
    /// Runs that began at or after this time stay.
    pub before: Option<Timestamp>,
    /// The newest runs of each history that the next plan and diagnosis look at, which stay anyway:
    /// so many of those that teach.
    pub needed: u32,
}

/// Runs by the rules: ?1 is how many stay, ?2 from when on they stay, ?3 how many teachers stay. The
/// newest run of a history always stays: it is what `last` and a table's name stand for. So does a run
/// that is under way.
const NAMED: &str = "
    WITH placed AS (
        SELECT run_id, started_at, id, status, teaches,
               row_number() OVER newest AS place,
               sum(teaches) OVER newest AS teachers,
               sum(teaches AND confidence <> 'low' AND throughput > 0) OVER newest AS clean
        FROM runs
        WINDOW newest AS (PARTITION BY scope_id ORDER BY started_at DESC, id DESC))
    SELECT run_id, teaches AND (teachers <= ?3 OR clean <= ?3) FROM placed
    WHERE place > max(?1, 1) AND started_at < ?2 AND status <> 'running'
    ORDER BY started_at, id";

impl Store {
    /// What [`Store::prune`] would remove.
    pub fn prunable(&self, pruning: &Pruning) -> Result<Pruned> {
        // Years have four digits, so this is later than any time.
        let before = pruning
            .before
            .map_or_else(|| "9999-12-31T23:59:59.999999Z".to_owned(), stored_time);
        let params = (pruning.keep.unwrap_or(0), before, pruning.needed);
        let named: Vec<(String, bool)> = self.rows(NAMED, params)?;
        let (needed, go): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, needed)| *needed);
        Ok(Pruned {
            runs: go.into_iter().map(|(id, _)| RunId::stored(id)).collect(),
            needed: needed.len() as u64,
        })
    }

    /// Removes runs with their chunks, workers and findings, in one transaction. What was learned,
    /// profiles and benchmarks stay.
    pub fn prune(&self, pruning: &Pruning) -> Result<Pruned> {
        let pruned = self.prunable(pruning)?;
        self.write(|transaction| {
            let mut remove = transaction
                .prepare("DELETE FROM runs WHERE run_id = ?1 AND status <> 'running'")?;
            for run in &pruned.runs {
                remove.execute([run.as_str()])?;
            }
            Ok(())
        })?;
        Ok(pruned)
    }

    /// Gives the room that no row takes back to the file system, log included.
    ///
    /// # Errors
    /// [`super::StateError::Locked`] where another process is in the way; nothing is lost then.
    pub fn compact(&self) -> Result<()> {
        self.connection
            .execute_batch("VACUUM")
            .and_then(|()| {
                // Its answer says whether readers were in the way; then the log shrinks later.
                self.connection
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .map_err(|error| self.failed(&error, "compact"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::RunStatus;
    use crate::state::tests::{at, close, count, open, scope, store};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn only_what_all_rules_let_go_goes(
            // Of each run: its table, whether it ended, whether it was constrained.
            history in proptest::collection::vec((0u8..2, any::<bool>(), any::<bool>()), 0..20),
            keep in proptest::option::of(1u32..6),
            before in proptest::option::of(0i64..20),
            needed in 0u32..4,
        ) {
            let directory = tempfile::tempdir().expect("a directory");
            let store = store(&directory);
            let mut runs = Vec::new();
            for (&(table, ended, constrained), second) in history.iter().zip(0i64..) {
                let mut run = open(second, second as u32);
                run.scope = scope(&format!("t{table}"));
                run.constrained = constrained;
                store.begin(&run).expect("the run begins");
                if ended {
                    store.close(&run.id, &close(second + 1), None).expect("the run closes");
                }
                runs.push((table, second, ended, ended && !constrained, run.id));
            }
            let pruning = Pruning { keep, before: before.map(at), needed };
            let would = store.prunable(&pruning).expect("an answer");
            let pruned = store.prune(&pruning).expect("it prunes");
            prop_assert_eq!(&would, &pruned);
            store.compact().expect("it compacts");
            for (table, second, ended, teaches, id) in &runs {
                let newer = |teachers: bool| runs.iter()
                    .filter(|run| run.0 == *table && run.1 > *second && (!teachers || run.3))
                    .count() as u32;
                let named = newer(false) >= keep.unwrap_or(1).max(1)
                    && before.is_none_or(|before| *second < before)
                    && *ended;
                let looked_at = *teaches && newer(true) < needed;
                prop_assert_eq!(pruned.runs.contains(id), named && !looked_at, "{:?}", id);
                prop_assert_eq!(
                    store.row(id).expect("readable").is_none(),
                    pruned.runs.contains(id)
                );
            }
            prop_assert_eq!(count(&store, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
            let running = count(&store, "SELECT count(*) FROM runs WHERE status = 'running'");
            prop_assert_eq!(running as usize, history.iter().filter(|run| !run.1).count());
        }
    }

    #[test]
    fn a_compacted_store_gives_its_room_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        for second in 0..200 {
            let run = open(second, second as u32);
            store.begin(&run).expect("the run begins");
            let mut end = close(second + 1);
            end.status = RunStatus::Failed;
            store.close(&run.id, &end, None).expect("the run closes");
        }
        let path = directory.path().join("state.db");
        let size = || std::fs::metadata(&path).expect("a file").len();
        let before = size();
        let pruning = Pruning {
            keep: Some(1),
            before: None,
            needed: 50,
        };
        assert_eq!(store.prune(&pruning).expect("it prunes").runs.len(), 199);
        store.compact().expect("it compacts");
        assert!(size() < before / 2, "{} of {before}", size());
    }
}

//! Keeps and finds benchmarks: the latest one of a scope.

use rusqlite::named_params;

use super::record::{json, scope_id};
use super::{Result, Store, stored_count, stored_float, stored_time};
use crate::model::{Benchmark, Scope};

impl Store {
    /// Keeps a benchmark as its scope's latest.
    pub fn save_benchmark(&self, scope: &Scope, benchmark: &Benchmark) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO benchmarks (scope_id, benchmarked_at, probe_rows,
                     ranges_used, worker_grid, throughput_json, optimal_workers, confidence,
                     signal_strength, curve_shape, row_estimate, result_json)
                 VALUES (:scope, :at, :probe_rows, :ranges, :grid, :throughput, :optimal,
                     :confidence, :signal, :shape, :rows, :result)",
                named_params! {
                    ":scope": scope_id(transaction, scope)?,
                    ":at": stored_time(benchmark.benchmarked_at),
                    ":probe_rows": stored_count(benchmark.probe_rows),
                    ":ranges": benchmark.ranges_used,
                    ":grid": json(&benchmark.worker_grid)?,
                    ":throughput": json(&benchmark.throughput_by_workers())?,
                    ":optimal": benchmark.optimal_workers,
                    ":confidence": stored_float(benchmark.confidence),
                    ":signal": stored_float(benchmark.signal_strength),
                    ":shape": benchmark.curve_shape.name(),
                    ":rows": stored_count(benchmark.row_estimate_at_benchmark),
                    ":result": json(benchmark)?,
                },
            )
        })
        .map(drop)
    }

    /// The latest benchmark of a scope.
    pub fn benchmark(&self, scope: &Scope) -> Result<Option<Benchmark>> {
        let text: Option<String> = self.value(
            "SELECT result_json FROM benchmarks
             WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1)",
            [&scope.key],
        )?;
        text.map(|text| self.parsed(&text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::curve::tests::benchmark;
    use crate::model::{Relation, Selection};
    use crate::planner::fixtures;

    fn scope(table: &str) -> Scope {
        let relation = Relation {
            schema: "public".to_owned(),
            name: table.to_owned(),
        };
        Scope::new(&fixtures::source(), &relation, &Selection::default(), None)
    }

    #[test]
    fn the_latest_benchmark_of_a_scope_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("state.db")).expect("the store opens");
        assert_eq!(store.benchmark(&scope("orders")), Ok(None));
        let first = benchmark(&[(1, 100.0), (2, 150.0)]);
        let second = benchmark(&[(1, 100.0), (4, 350.0)]);
        for kept in [&first, &second] {
            store
                .save_benchmark(&scope("orders"), kept)
                .expect("it is kept");
            assert_eq!(store.benchmark(&scope("orders")), Ok(Some(kept.clone())));
        }
        assert_eq!(store.benchmark(&scope("events")), Ok(None));
    }
}

//! What is told of runs on MySQL and MariaDB that are over: the commands that look back.

use serde_json::Value;

use crate::extraction::DIGITS;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::servers::mysql::{MysqlDatabase, both};

/// A table of 1,000 rows that was extracted twice, and once more, by hand-picked workers, when it had more.
struct Past {
    cli: Cli,
    database: MysqlDatabase,
    runs: Vec<Published>,
}

impl Past {
    fn of(database: MysqlDatabase) -> Self {
        database.exec(&format!(
            "{DIGITS}
             CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20));
             INSERT INTO t SELECT n, CONCAT('v', n) FROM
                 (SELECT a.d + 10 * b.d + 100 * c.d AS n FROM digits a, digits b, digits c) AS numbers"
        ));
        let (cli, url) = (Cli::new(), database.url());
        let run = |flags: &[&str]| {
            let flags = [&["--chunk-rows", "100"], flags].concat();
            extract(&cli, &url, "t", "out", &flags)
        };
        let mut runs = vec![run(&[]), run(&[])];
        database.exec("INSERT INTO t VALUES (5000, 'more')");
        runs.push(run(&["--workers", "2"]));
        Self {
            cli,
            database,
            runs,
        }
    }

    fn document(&self, words: &[&str]) -> Value {
        let words = [words, &["--json"]].concat();
        self.cli.run(words).expect_code(0).json()
    }

    fn told(&self, words: &[&str]) -> String {
        self.cli.run(words).expect_code(0).stdout
    }

    fn tag(&self, run: usize) -> String {
        self.runs[run].run().tag().to_owned()
    }

    fn expect_history(&self) {
        let name = format!("{}.t", self.database.name());
        for words in [vec!["history", "t"], vec!["history", &name]] {
            let document = self.document(&words);
            let listed = document["runs"].as_array().expect("runs");
            let listed: Vec<&str> = listed.iter().filter_map(|run| run["id"].as_str()).collect();
            let ids: Vec<String> = self.runs.iter().map(|run| run.run().to_string()).collect();
            assert_eq!(listed, ids);
        }
        let told = self.told(&["history", "t"]);
        for run in 0..3 {
            let tag = self.tag(run);
            let line = told.lines().find(|line| line.contains(&tag));
            let marked = line.is_some_and(|line| line.contains("constrained"));
            assert_eq!(marked, run == 2, "{told}");
        }
    }

    fn expect_numbers(&self) {
        let metrics = self.document(&["metrics"]);
        assert_eq!(
            (&metrics["rows"], &metrics["status"]),
            (&1001.into(), &"success".into())
        );
        assert_eq!(metrics["counts"]["finished"], metrics["counts"]["planned"]);
        let diagnosed = self.document(&["diagnose", "last"]);
        assert_eq!(diagnosed["finding"], self.runs[2].report["finding"]);
        let rows = diagnosed["chunk_records"].as_array().expect("chunks");
        let rows: u64 = rows.iter().filter_map(|chunk| chunk["rows"].as_u64()).sum();
        assert_eq!(rows, 1001);
        let excluded = diagnosed["excluded"].to_string();
        assert!(excluded.contains("it was constrained"), "{excluded}");
        let told = self.told(&["diagnose"]);
        assert!(told.contains("Where the workers' time went"), "{told}");
        // Whatever it finds, it is one of the three judgements, and says which.
        let outcome = self.cli.run(["inspect", "t", "--json"]);
        let verdicts = ["HEALTHY", "NEEDS ATTENTION", "DEGRADED"];
        let verdict = usize::try_from(outcome.code)
            .ok()
            .and_then(|code| verdicts.get(code));
        assert_eq!(outcome.json()["verdict"], *verdict.unwrap_or(&"none"));
    }

    fn expect_reasons(&self) {
        let explained = self.document(&["explain", "t"]);
        assert_eq!(explained["run"]["id"], self.runs[2].run().as_str());
        assert_eq!(explained["decided"]["workers"], 2);
        assert_eq!(explained["previous"]["run"], self.runs[1].run().as_str());
        let told = self.told(&["explain", &self.tag(0)]);
        assert!(told.contains("mysql://"), "{told}");
        let changed = self.document(&["diff", &self.tag(1), &self.tag(2)]);
        let differences = changed["differences"].as_array().expect("differences");
        let found = |aspect: &str, name: &str| {
            let mut all = differences.iter();
            all.find(|one| one["aspect"] == aspect && one["name"] == name)
                .map(|one| (one["before"].clone(), one["after"].clone()))
        };
        assert_eq!(found("data", "rows"), Some((1000.into(), 1001.into())));
        assert_eq!(
            found("kind", "constrained"),
            Some((false.into(), true.into()))
        );
    }
}

#[test]
fn runs_are_told_of_without_their_database() {
    for server in both() {
        let past = Past::of(server.fresh_database());
        past.database.exec("DROP TABLE t");
        past.expect_history();
        past.expect_numbers();
        past.expect_reasons();
    }
}

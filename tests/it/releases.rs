//! PostgreSQL from the oldest to the newest: the same table gives the same rows, from one snapshot,
//! however it is cut; and what a version cannot do is said.

use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract};
use crate::readers::{Engine, Row};
use crate::servers::{Database, Postgres};

const TABLE: &str = "
    CREATE TABLE t (id int8 PRIMARY KEY, n numeric(12,2), x text, u uuid, at timestamptz, d interval);
    INSERT INTO t SELECT i, i / 7.0, repeat(chr(8364), i % 50), md5(i::text)::uuid,
        timestamptz 'epoch' + i * interval '1 hour', i * interval '1 minute'
        FROM generate_series(1, 3000) AS i;
    DELETE FROM t WHERE id % 5 = 0;
    CREATE TABLE keyless AS SELECT id, x FROM t;
    ANALYZE t; ANALYZE keyless";

/// The server's own text, in the reader's spelling.
fn expected(database: &Database) -> Vec<Row> {
    database.query_text(
        "SET IntervalStyle = iso_8601; SELECT id, n, x, u,
            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), d FROM t ORDER BY id",
    )
}

fn each_server(check: impl Fn(&Postgres, &Database, &Cli)) {
    for server in Postgres::versions() {
        let database = server.fresh_database();
        database.exec(TABLE);
        check(&server, &database, &Cli::new());
    }
}

#[test]
fn every_version_gives_the_same_rows_from_one_snapshot() {
    each_server(|server, database, cli| {
        let expected = expected(database);
        let cuts: &[&str] = if server.version() >= 14 {
            &["key", "ctid"]
        } else {
            &["key"]
        };
        for cut in cuts {
            let flags = ["--workers", "3", "--chunking", cut, "--chunk-rows", "300"];
            let run = extract(cli, &database.url(), "public.t", cut, &flags);
            let what = format!("PostgreSQL {}, {cut}", server.version());
            assert!(
                run.rows(Engine::Pyarrow, &["id"]) == expected,
                "{what}: other rows"
            );
            run.expect_exact_cover(expected.len());
            assert!(run.chunks().len() >= 3, "{what}: {:?}", run.chunks());
            let consistency = &run.manifest["consistency"];
            assert_eq!(consistency["level"], "shared-snapshot", "{what}");
            // A reader that came when all was done is not one.
            let readers = consistency["readers"].as_u64().expect("a number");
            assert!((1..=3).contains(&readers), "{what}: {consistency}");
            assert!(
                consistency["position"].is_string(),
                "{what}: no position in the log"
            );
            assert_eq!(run.manifest["proof"]["counted"], expected.len(), "{what}");
        }
    });
}

#[test]
fn blocks_are_refused_where_each_would_cost_a_scan() {
    each_server(|server, database, cli| {
        if server.version() >= 14 {
            return;
        }
        let flags = ["--chunking", "ctid", "--chunk-rows", "300"];
        let outcome = attempt(cli, &database.url(), "public.t", "out", &flags).expect_code(2);
        let said = Failure::of(&outcome).text();
        assert!(
            said.contains("block") && said.contains("PostgreSQL 14"),
            "{said}"
        );
        assert!(!cli.home().join("out").exists());
    });
}

#[test]
fn the_cut_is_one_that_the_version_can_make() {
    each_server(|server, database, cli| {
        let strategy = |table: &str| {
            let outcome = cli.run([
                "plan",
                table,
                "--source",
                &database.url(),
                "--workers",
                "2",
                "--chunk-rows",
                "300",
                "--json",
            ]);
            let document = outcome.expect_code(0).json();
            let strategy = document["plan"]["spec"]["strategy"]
                .as_str()
                .expect("a strategy")
                .to_owned();
            (strategy, document.to_string())
        };
        let blocks = server.version() >= 14;
        let (keyless, document) = strategy("public.keyless");
        let wanted = if blocks {
            "ctid_chunking"
        } else {
            "single_pass"
        };
        assert_eq!(
            keyless,
            wanted,
            "PostgreSQL {}: {document}",
            server.version()
        );
        if !blocks {
            let (keyed, document) = strategy("public.t");
            assert_eq!(keyed, "range_chunking", "{document}");
        }
    });
}

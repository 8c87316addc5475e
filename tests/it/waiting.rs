//! Whose doing a wait is: the server's, which works, or the network's, which carries.
//!
//! Every run takes several seconds because of what the test did to it, so that it is looked at often
//! enough however fast or busy the machine is.

use std::time::Duration;

use serde_json::Value;

use crate::ixtract::Cli;
use crate::proxy::{Builder, Proxy};
use crate::published::extract;
use crate::servers::mysql::both;
use crate::servers::postgres;

/// What `diagnose` says of one run by one worker.
struct Told {
    document: Value,
    text: String,
}

impl Told {
    fn of(url: &str, table: &str, flags: &[&str]) -> Self {
        let cli = Cli::new();
        let flags = [&["--max-workers", "1", "--proof", "stream"], flags].concat();
        extract(&cli, url, table, "out", &flags);
        Self {
            document: cli.run(["diagnose", "--json"]).expect_code(0).json(),
            text: cli.run(["diagnose"]).expect_code(0).stdout,
        }
    }

    fn network_permille(&self) -> u64 {
        let share = self.document["network_permille"].as_u64();
        share.unwrap_or_else(|| panic!("not known: {:#}", self.document["waits"]))
    }

    #[track_caller]
    fn expect_network(&self) {
        let share = self.network_permille();
        assert!(share >= 700, "{share}: {}", self.text);
        let limit = "the network was the limit:";
        assert!(self.text.contains(limit), "{}", self.text);
        let remedy = "run nearer to the source";
        assert!(self.text.contains(remedy), "{}", self.text);
    }

    #[track_caller]
    fn expect_server(&self) {
        let share = self.network_permille();
        assert!(share <= 300, "{share}: {}", self.text);
        let limit = "the server was the limit:";
        assert!(self.text.contains(limit), "{}", self.text);
        let remedy = "ask the source for less";
        assert!(self.text.contains(remedy), "{}", self.text);
    }
}

/// A line that carries a megabyte in about a second.
fn narrow(upstream: u16) -> Builder {
    Proxy::to(upstream).kbps(8_000)
}

#[test]
fn a_postgres_server_that_works_is_told_from_a_line_that_is_narrow_or_long() {
    let database = postgres().fresh_database();
    // Values that differ, so that nothing on the way makes them short.
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, x text);
         INSERT INTO t SELECT i, (SELECT string_agg(md5((i * 100 + j)::text), '') FROM
             generate_series(1, 30) AS j) FROM generate_series(1, 6000) AS i;
         ANALYZE t",
    );
    let few = ["--where", "id <= 200 AND pg_sleep(0.03) IS NOT NULL"];
    let working = Told::of(&database.url(), "public.t", &few);
    working.expect_server();
    let counted = &working.document["finding"]["measures"]["waits"];
    assert_eq!(counted, &working.document["waits"]);
    let port = database.address().port;
    let line = narrow(port).start();
    let url = database.url_through(line.port());
    Told::of(&url, "public.t", &[]).expect_network();
    let far = Proxy::to(port).latency(Duration::from_millis(60)).start();
    let url = database.url_through(far.port());
    let chunks = ["--chunk-rows", "150", "--chunking", "key"];
    Told::of(&url, "public.t", &chunks).expect_network();
}

#[test]
fn a_mysql_server_that_works_is_told_from_a_narrow_line() {
    for server in both() {
        let database = server.fresh_database();
        database.exec("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, x VARCHAR(1000))");
        database.exec("INSERT INTO t (x) VALUES (REPEAT(MD5(RAND()), 30))");
        for _ in 0..13 {
            database.exec("INSERT INTO t (x) SELECT REPEAT(MD5(RAND()), 30) FROM t");
        }
        let few = ["--where", "id <= 200 AND SLEEP(0.03) = 0"];
        Told::of(&database.url(), "t", &few).expect_server();
        let line = narrow(database.address().port).start();
        let url = database.url_through(line.port());
        Told::of(&url, "t", &[]).expect_network();
    }
}

#[test]
fn what_is_not_known_is_not_said() {
    let cli = Cli::new();
    let path = cli.home().join("t.db");
    rusqlite::Connection::open(&path)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
                 INSERT INTO t SELECT i, 'row ' || i FROM c",
        )
        .expect("a table");
    let told = Told::of(&crate::published::sqlite_url(&path), "t", &[]);
    assert_eq!(told.document["network_permille"], Value::Null);
    assert_eq!(told.document["waits"]["server"], 0);
    let note = "this source and the way to it cannot be told apart";
    assert!(told.text.contains(note), "{}", told.text);
    // A server that answers at once is not looked at often enough.
    let database = postgres().fresh_database();
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)");
    let told = Told::of(&database.url(), "public.t", &[]);
    assert_eq!(told.document["network_permille"], Value::Null);
}

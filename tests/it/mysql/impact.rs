//! Workers are held up on MariaDB too when the source slows down, and let go of again.

use std::time::Duration;

use super::NUMBERS;
use super::gate::Gate;
use crate::extraction::{DIGITS, Extraction};
use crate::proxy::Proxy;
use crate::servers::mysql::mariadb;

#[test]
fn workers_go_when_the_source_slows_down_and_come_back() {
    let database = mariadb().fresh_database();
    database.exec(&format!(
        "{DIGITS} {NUMBERS};
         CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20));
         INSERT INTO t SELECT n, CONCAT('v', n) FROM numbers WHERE n < 1000"
    ));
    let proxy = Proxy::to(database.address().port).start();
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let extraction = Extraction::new(database.url_through(proxy.port()), "t");
    let work = ["--workers", "2", "--chunk-rows", "300", "--proof", "stream"];
    let limit = ["--where", &filter, "--max-source-latency-ms", "400"];
    let words = [&work[..], &limit, &["--verbose"]].concat();
    let mut run = extraction.spawn(&words);
    gate.wait_for_readers(2);
    proxy.slow_down(Duration::from_millis(1500));
    run.wait_for_stderr("impact budget: 0 of 2 workers");
    proxy.slow_down(Duration::ZERO);
    run.wait_for_stderr("impact budget: 2 of 2 workers again");
    gate.open();
    run.wait().expect_code(0);
    assert_eq!(extraction.count(), 1000);
}

//! A run reads one point in time of a hot standby too.

use super::{accounts, parallel};
use crate::extraction::Extraction;
use crate::servers::{Address, PrivatePostgres, Session};

#[test]
fn a_standby_gives_its_replay_position() {
    let primary = PrivatePostgres::start("");
    let database = primary.fresh_database();
    accounts::create(&database);
    let before = accounts::rows(&database);
    let standby = PrivatePostgres::standby_of(&primary);
    let there = Address {
        database: database.name().to_owned(),
        ..standby.address().clone()
    };
    let extraction = Extraction::new(there.to_string(), "public.accounts");
    extraction.run(&parallel(&[])).expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "shared-snapshot");
    let position = consistency["position"].as_str().expect("a WAL position");
    let replayed = Session::open(&there).query_text(&format!(
        "SELECT '{position}'::pg_lsn <= pg_last_wal_replay_lsn()"
    ));
    assert_eq!(replayed, [[Some("t".to_owned())]]);
}

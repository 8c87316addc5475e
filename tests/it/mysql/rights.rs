//! Each level of consistency, by the right that it takes; and what is said where one is missing.

use serde_json::Value;

use super::NUMBERS;
use crate::extraction::{DIGITS, Extraction};
use crate::servers::mysql::{MysqlDatabase, both};

const PARALLEL: [&str; 4] = ["--workers", "3", "--chunk-rows", "300"];

fn scene(server: &crate::servers::mysql::Mysql) -> MysqlDatabase {
    let database = server.fresh_database();
    database.exec(&format!(
        "{DIGITS} {NUMBERS};
         CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), secret INT);
         INSERT INTO t SELECT n, CONCAT('v', n), 7 FROM numbers WHERE n < 1000"
    ));
    database
}

/// What a user with these rights achieves.
fn achieved(database: &MysqlDatabase, rights: &[&str]) -> (Value, Extraction) {
    let user = database.limited_user();
    for right in rights {
        database.exec(&format!("GRANT {right} TO '{}'@'127.0.0.1'", user.user));
    }
    let extraction = Extraction::new(user.to_string(), "t");
    extraction.run(&PARALLEL).expect_code(0);
    assert_eq!(extraction.rows().len(), 1000);
    (extraction.manifest()["consistency"].take(), extraction)
}

#[test]
fn each_level_takes_its_right() {
    for server in both() {
        let database = scene(&server);
        let select = format!("SELECT ON {}.*", database.name());

        let lock = format!("LOCK TABLES ON {}.*", database.name());
        let (consistency, _) = achieved(&database, &[&select, &lock]);
        assert_eq!(consistency["level"], "shared-snapshot");
        assert_eq!(consistency["readers"], 3);
        assert!(
            consistency["held_by"]
                .as_str()
                .is_some_and(|by| by.starts_with("LOCK TABLES"))
        );

        let (consistency, _) = achieved(&database, &[&select, "RELOAD ON *.*"]);
        assert_eq!(consistency["level"], "shared-snapshot");
        assert!(
            consistency["held_by"]
                .as_str()
                .is_some_and(|by| by.starts_with("FLUSH TABLES"))
        );

        let (consistency, extraction) = achieved(&database, &[&select]);
        assert_eq!(consistency["level"], "single-transaction");
        assert_eq!(consistency["readers"], 1);
        let note = consistency["notes"][0].as_str().expect("a note").to_owned();
        let grant = format!("GRANT SELECT, LOCK TABLES ON `{}`.*", database.name());
        assert!(
            note.contains(&grant) && note.contains("GRANT RELOAD ON *.*"),
            "{note}"
        );

        let strict = [&PARALLEL[..], &["--consistency", "snapshot"]].concat();
        let refused = extraction.run(&strict).expect_code(2);
        assert!(refused.stderr.contains(&grant), "{refused:#?}");
        let loose = [&PARALLEL[..], &["--consistency", "per-chunk"]].concat();
        extraction.run(&loose).expect_code(0);
        let consistency = &extraction.manifest()["consistency"];
        assert_eq!(consistency["level"], "per-chunk");
        // So small a table may be read before the third has a session.
        let readers = consistency["readers"].as_u64();
        assert!(readers.is_some_and(|readers| (1..=3).contains(&readers)));
    }
}

/// The grants that are told are the ones that help.
#[test]
fn a_missing_right_is_named_with_its_grant() {
    for server in both() {
        let database = scene(&server);
        let user = database.limited_user();
        let other = format!(
            "GRANT SELECT ON {}.digits TO '{}'@'127.0.0.1'",
            database.name(),
            user.user
        );
        database.exec(&other);
        let grant = |stderr: &str| {
            let line = stderr
                .lines()
                .find(|line| line.contains("GRANT "))
                .expect("a grant");
            line[line.find("GRANT ").expect("it is there")..].to_owned()
        };
        let extraction = Extraction::new(user.to_string(), "t");
        let denied = extraction.run(&[]).expect_code(77);
        let told = grant(&denied.stderr);
        assert_eq!(
            told,
            format!(
                "GRANT SELECT ON `{}`.`t` TO '{}'@'127.0.0.1'",
                database.name(),
                user.user
            )
        );

        // Of some columns only: the others must not be left out without a word.
        database.exec(&format!(
            "GRANT SELECT (id, v) ON {}.t TO '{}'@'127.0.0.1'",
            database.name(),
            user.user
        ));
        extraction.run(&[]).expect_code(77);
        let two = ["--columns", "id,v"];
        extraction.run(&two).expect_code(0);
        assert_eq!(extraction.rows().len(), 1000);
        let denied = extraction.run(&["--columns", "id,secret"]).expect_code(77);
        database.exec(&grant(&denied.stderr));
        database.exec(&told);
        extraction.run(&[]).expect_code(0);
    }
}

//! What is said where a right is missing: the grants that are told are the ones that help.

use super::numbered;
use crate::extraction::Extraction;

#[test]
fn a_missing_right_is_named_with_its_grant() {
    let database = numbered();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, v NVARCHAR(20), secret INT);
         INSERT INTO t SELECT n, N'v', 7 FROM numbers WHERE n < 1000",
    );
    let user = database.limited_login();
    let grant = |stderr: &str| {
        let line = stderr.lines().find(|line| line.contains("GRANT "));
        let line = line.unwrap_or_else(|| panic!("no grant: {stderr}"));
        line[line.find("GRANT ").expect("it is there")..].to_owned()
    };
    let extraction = Extraction::new(user.to_string(), "t");
    let denied = extraction.run(&[]).expect_code(77);
    let told = grant(&denied.stderr);
    assert_eq!(
        told,
        format!("GRANT SELECT ON [dbo].[t] TO [{}]", user.user)
    );

    // Of some columns only.
    database.exec(&format!("GRANT SELECT ON t (id, v) TO {}", user.user));
    let denied = extraction.run(&[]).expect_code(77);
    assert!(denied.stderr.contains("error 230"), "{denied:#?}");
    extraction.run(&["--columns", "id,v"]).expect_code(0);
    assert_eq!(extraction.rows().len(), 1000);
    let denied = extraction.run(&["--columns", "id,secret"]).expect_code(77);
    database.exec(&grant(&denied.stderr));
    extraction.run(&["--columns", "id,secret"]).expect_code(0);
    database.exec(&told);
    let options = ["--workers", "3", "--chunk-rows", "300"];
    extraction.run(&options).expect_code(0);
    // Whoever may read shares the point in time with others like him: no more rights are needed.
    assert_eq!(
        extraction.manifest()["consistency"]["level"],
        "shared-snapshot"
    );
}

/// Rows are then known by the catalogue, and who waits for us is not.
#[test]
fn without_the_right_to_see_others_it_is_said() {
    let database = numbered();
    database.forbid_snapshots();
    let user = database.limited_login();
    database.exec(&format!("GRANT SELECT ON numbers TO {}", user.user));
    let extraction = Extraction::new(user.to_string(), "numbers");
    extraction.run(&["--workers", "2"]).expect_code(0);
    assert_eq!(extraction.count(), 10_000);
    let notes = extraction.manifest()["consistency"]["notes"].to_string();
    assert!(notes.contains("GRANT VIEW SERVER STATE"), "{notes}");
}

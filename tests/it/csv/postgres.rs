//! Out of PostgreSQL, and back into it.

use super::{DIALECTS, Dialect, files, read, text};
use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::published::extract;
use crate::roundtrip::{Filled, Kind, fill_cast_types, fill_wire_types};
use crate::servers::{Database, postgres};

/// In how many ways a table is cut.
const CUTS: [&[&str]; 3] = [
    &["--workers", "1"],
    &[
        "--workers",
        "4",
        "--chunking",
        "key",
        "--chunk-rows",
        "7",
        "--types",
        "native",
    ],
    &["--workers", "4", "--chunking", "ctid", "--chunk-rows", "7"],
];

/// Loads files into an empty table like `t`, as their dialect says.
fn load(database: &Database, table: &str, dialect: &Dialect, texts: &[String]) {
    let session = database.session();
    session.exec(&format!("CREATE TABLE {table} (LIKE t)"));
    let copy = format!(
        "COPY {table} FROM STDIN WITH (FORMAT csv, HEADER {}, DELIMITER '{}', NULL '{}')",
        !dialect.no_header,
        dialect.delimiter(),
        dialect.null.unwrap_or_default(),
    );
    for text in texts {
        session.copy_in(&copy, text.clone().into_bytes());
    }
}

/// Fails the test unless both tables hold the same rows, as the server prints them: to the last
/// bit of a float and the last space of a json.
#[track_caller]
fn expect_equal(database: &Database, one: &str, other: &str) {
    for (left, right) in [(one, other), (other, one)] {
        let lost = database.query_text(&format!(
            "SELECT x::text FROM {left} AS x EXCEPT ALL SELECT x::text FROM {right} AS x"
        ));
        let shown = lost.first().and_then(|row| row[0].as_deref());
        let shown: String = shown.unwrap_or_default().chars().take(2000).collect();
        assert!(
            lost.is_empty(),
            "{} rows of {left} are not in {right}: {shown}",
            lost.len()
        );
    }
}

/// Every type in every dialect, cut in every way, comes back equal.
fn expect_round_trip(database: &Database, filled: &Filled) {
    let own = database
        .session()
        .copy_out("COPY t TO STDOUT WITH (FORMAT csv, HEADER)");
    let own = String::from_utf8(own).expect("UTF-8");
    load(database, "own", &Dialect::default(), &[own]);
    expect_equal(database, "t", "own");
    let cli = Cli::new();
    for (number, dialect) in DIALECTS.iter().enumerate() {
        let cut = CUTS[number % CUTS.len()];
        let name = format!("run_{number}");
        let flags = [&dialect.flags()[..], cut].concat();
        let published = extract(&cli, &database.url(), "public.t", &name, &flags);
        published.expect_exact_cover(filled.expected().count());
        let files = files(&cli, &name);
        for file in &files {
            let file = file.display().to_string();
            assert!(file.ends_with(dialect.extension()), "{file}");
        }
        let texts: Vec<String> = files.iter().map(|file| text(file)).collect();
        load(database, &name, dialect, &texts);
        expect_equal(database, "t", &name);
        expect_equal(database, "own", &name);
    }
}

#[test]
fn copy_loads_back_an_equal_table_of_every_wire_type() {
    let database = postgres().fresh_database();
    let filled = fill_wire_types(&database, 60);
    expect_round_trip(&database, &filled);
}

#[test]
fn copy_loads_back_an_equal_table_of_every_cast_type() {
    let database = postgres().fresh_database();
    let filled = fill_cast_types(&database, 60);
    expect_round_trip(&database, &filled);
}

/// What stands in a CSV file for a value that the server writes as `text`.
fn spelled(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Bool => kind.canonical(text),
        Kind::Timestamp => text.replacen(' ', "T", 1),
        Kind::Instant => text.replacen(' ', "T", 1).replacen("+00", "Z", 1),
        Kind::Float32 | Kind::Float64 => kind.canonical(text),
        Kind::Exact
        | Kind::Cast
        | Kind::Money
        | Kind::List(_)
        | Kind::Date
        | Kind::Time
        | Kind::Bytes => text.to_owned(),
    }
}

#[test]
fn python_and_duckdb_read_the_servers_texts() {
    let database = postgres().fresh_database();
    let filled = fill_wire_types(&database, 60);
    let cli = Cli::new();
    let marked = Dialect {
        null: Some("<nothing>"),
        compression: Some("gzip"),
        ..Dialect::default()
    };
    for (name, engine, dialect) in [
        ("marked", "python", marked),
        ("plain", "duckdb", Dialect::default()),
    ] {
        let flags = [&dialect.flags()[..], CUTS[0]].concat();
        extract(&cli, &database.url(), "public.t", name, &flags);
        let rows = read(engine, &dialect, &files(&cli, name));
        let header: Vec<&str> = rows[0].iter().flatten().map(String::as_str).collect();
        assert_eq!(header, filled.names());
        assert_eq!(rows.len() - 1, filled.expected().count());
        for (expected, row) in filled.expected().zip(&rows[1..]) {
            for ((kind, server), (read, name)) in
                expected.into_iter().zip(row.iter().zip(filled.names()))
            {
                let read = read.as_deref().map(|text| match kind {
                    // To the last bit, whatever the spelling.
                    Kind::Float32 | Kind::Float64 => kind.canonical(text),
                    _ => text.to_owned(),
                });
                let server = server.map(|text| spelled(kind, text));
                assert!(
                    read == server,
                    "{engine}, {name}: {read:.99?} is {server:.99?}"
                );
            }
        }
    }
}

#[test]
fn names_and_kinds_of_table_that_are_rare() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (\"two\nlines\" int, \"a \"\"b\"\"\" int, \"x,y\" text, \"\u{feff}é\" bool);
         INSERT INTO t VALUES (1, 2, E'\\\\.', true), (NULL, NULL, NULL, NULL), (3, 4, '', false);
         CREATE TABLE single (v text); INSERT INTO single VALUES (NULL), (''), (E'\\\\.'), ('a');
         CREATE TABLE empty (LIKE t)",
    );
    let cli = Cli::new();
    let plain = Dialect::default();
    let run = |table: &str, name: &str, more: &[&str]| {
        let flags = [&plain.flags()[..], more].concat();
        extract(&cli, &database.url(), table, name, &flags);
        files(&cli, name)
            .iter()
            .map(|file| text(file))
            .collect::<Vec<_>>()
    };
    let head = "\"two\nlines\",\"a \"\"b\"\"\",\"x,y\",\"\u{feff}é\"\n";
    let texts = run("public.t", "t", &[]);
    assert_eq!(
        texts,
        [format!("{head}1,2,\"\\.\",true\n,,,\n3,4,\"\",false\n")]
    );
    load(&database, "back", &plain, &texts);
    expect_equal(&database, "t", "back");
    assert_eq!(run("public.empty", "empty", &[]), [head]);
    assert_eq!(run("public.empty", "bare", &["--csv-no-header"]), [""]);

    let texts = run("public.single", "only", &[]);
    assert_eq!(texts, ["v\n\n\"\"\n\"\\.\"\na\n"]);
    let session = database.session();
    session.exec("CREATE TABLE only_back (LIKE single)");
    let copy = "COPY only_back FROM STDIN WITH (FORMAT csv, HEADER)";
    session.copy_in(copy, texts[0].clone().into_bytes());
    expect_equal(&database, "single", "only_back");
    let words = [
        "plan",
        "public.single",
        "--source",
        &database.url(),
        "--format",
        "csv",
    ];
    let plan = cli.run(words).expect_code(0);
    assert!(plan.stdout.contains("SAFE WITH WARNINGS"), "{plan:#?}");
    assert!(plan.stdout.contains("--csv-null NULL"), "{plan:#?}");
}

/// A table of 1 000 rows, extracted as CSV in more than ten chunks.
fn many_files(more: &[&str]) -> (Database, Extraction) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, word text);
         INSERT INTO t SELECT i, 'a \"word\", ' || i FROM generate_series(1, 1000) AS i;
         ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let flags = [
        "--format",
        "csv",
        "--workers",
        "4",
        "--chunking",
        "key",
        "--chunk-rows",
        "50",
    ];
    extraction.run(&[&flags, more].concat()).expect_code(0);
    (database, extraction)
}

#[test]
fn every_file_of_many_workers_has_its_header() {
    for (more, want) in [(&[][..], true), (&["--csv-no-header"], false)] {
        let (_database, extraction) = many_files(more);
        let files = files(&extraction.cli, "out");
        assert!(files.len() > 10, "{files:?}");
        let mut ids = Vec::new();
        for file in &files {
            let text = text(file);
            assert_eq!(text.starts_with("id,word\n"), want, "{text:.40}");
            let lines = text.lines().skip(usize::from(want));
            ids.extend(lines.filter_map(|line| line.split(',').next()?.parse::<u32>().ok()));
        }
        // Files are listed in the order of the key.
        assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
        assert_eq!(extraction.count(), 1000);
    }
}

#[test]
fn verify_finds_a_flipped_byte_and_a_manifest_tells_the_format() {
    for compression in ["none", "gzip", "zstd"] {
        let (_database, extraction) = many_files(&["--compression", compression]);
        let manifest = extraction.manifest();
        assert_eq!(manifest["format"]["format"], "csv");
        assert_eq!(manifest["format"]["delimiter"], ",");
        let file = files(&extraction.cli, "out").remove(3);
        let mut bytes = std::fs::read(&file).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("a file");
        let outcome = extraction.cli.run(["verify", "out"]).expect_code(3);
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(outcome.stderr.contains(&*name), "{outcome:#?}");
        assert!(outcome.stderr.contains("SHA-256"), "{outcome:#?}");
        // A dataset that was spoiled can be written again, in another format.
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.rows().len(), 1000);
    }
}

#[test]
fn options_are_decisions_and_what_does_not_go_together_is_refused() {
    let (_database, extraction) = many_files(&[]);
    let plan = |flags: &[&str]| {
        let words = extraction.words("plan", &[&["--json"], flags].concat());
        extraction.cli.run(words).expect_code(0).json()["plan"]["fingerprint"].clone()
    };
    let mut seen = vec![plan(&[])];
    for dialect in DIALECTS {
        let fingerprint = plan(&dialect.flags());
        assert!(!seen.contains(&fingerprint), "{dialect:?}");
        seen.push(fingerprint);
    }
    // A plan of CSV is executed as it was reviewed.
    let out = [
        "--format",
        "csv",
        "--csv-delimiter",
        ";",
        "--out",
        "plan.json",
    ];
    extraction
        .cli
        .run(extraction.words("plan", &out))
        .expect_code(0);
    let source = extraction.words("run", &[])[3].clone();
    let run = [
        "run",
        "--plan",
        "plan.json",
        "--source",
        &source,
        "--output",
        "planned",
    ];
    extraction.cli.run(run).expect_code(0);
    assert!(text(&files(&extraction.cli, "planned")[0]).starts_with("id;word\n"));

    for (flags, says) in [
        (&["--csv-null", "x"][..], "--csv-null"),
        (&["--csv-delimiter", ";"], "--csv-delimiter"),
        (&["--csv-quote-all"], "--csv-quote-all"),
        (&["--csv-no-header"], "--csv-no-header"),
        (&["--format", "csv", "--compression", "snappy"], "snappy"),
        (&["--format", "csv", "--compression", "lz4"], "lz4"),
        (
            &["--format", "csv", "--row-group-rows", "5"],
            "--row-group-rows",
        ),
        (&["--format", "csv", "--csv-delimiter", ";;"], "ASCII"),
        (&["--format", "csv", "--csv-delimiter", "\""], "delimiter"),
        (&["--format", "csv", "--csv-null", "a,b"], "--csv-null"),
    ] {
        let outcome = extraction.cli.run(extraction.words("run", flags));
        let outcome = outcome.expect_code(64);
        assert!(outcome.stderr.contains(says), "{flags:?}: {outcome:#?}");
    }
}

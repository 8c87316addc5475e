//! Which values win.

use std::path::Path;

use super::*;
use crate::cli::args::{Command, RunArgs, TlsName};

/// A home with this file in it.
fn home(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join(".config/ixtract");
    std::fs::create_dir_all(&own).expect("a folder");
    std::fs::write(own.join("ixtract.toml"), text).expect("written");
    folder
}

fn settled(text: &str, words: &[&str], variables: &[(&str, &str)]) -> Result<RunArgs, Refusal> {
    let home = home(text);
    let mut all = vec![("HOME", home.path().to_str().expect("UTF-8"))];
    all.extend_from_slice(variables);
    let words: Vec<OsString> = ["ixtract", "run"]
        .iter()
        .chain(words)
        .map(OsString::from)
        .collect();
    match settle(&words, &Environment::of(&all))?.cli.command {
        Command::Run(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn run(text: &str, words: &[&str]) -> RunArgs {
    settled(text, words, &[]).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[track_caller]
fn refused(text: &str, words: &[&str]) -> Failure {
    match settled(text, words, &[]) {
        Err(Refusal::Failure(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

const FILE: &str = r#"
[defaults]
workers = 1
chunk_rows = 10
keep = 1
max_workers = 9
source = "shop"

[sources.shop]
url = "postgresql://etl@db/shop"
tls = "require"
lock_wait_s = 3
password_env = "SHOP"

[sources.other]
type = "mysql"
host = "h"
database = "d"

[tables."public.orders"]
workers = 2
chunk_rows = 20

[profiles.prod]
workers = 3
[profiles.prod.tables."public.orders"]
keep = 4
[profiles.prod.sources.shop]
tls = "verify-full"
"#;

#[test]
fn the_nearest_place_wins() {
    let args = run(FILE, &["public.orders", "--max-workers", "5"]);
    assert_eq!(
        (args.work.workers, args.work.chunk_rows),
        (Some(2), Some(20))
    );
    assert_eq!((args.output.keep, args.work.max_workers), (1, 5));
    assert_eq!(
        args.source.source.as_deref(),
        Some("postgresql://etl@db/shop")
    );
    assert_eq!(args.source.tls, Some(TlsName::Require));
    let args = run(FILE, &["public.orders", "--profile", "prod"]);
    assert_eq!(
        (args.work.workers, args.work.chunk_rows),
        (Some(3), Some(20))
    );
    assert_eq!(
        (args.output.keep, args.source.tls),
        (4, Some(TlsName::VerifyFull))
    );
    let args = run(
        FILE,
        &[
            "public.orders",
            "--profile",
            "prod",
            "--workers=7",
            "--keep=8",
        ],
    );
    assert_eq!((args.work.workers, args.output.keep), (Some(7), 8));
    let args = run(FILE, &["else"]);
    assert_eq!(
        (args.work.workers, args.table.as_deref()),
        (Some(1), Some("else"))
    );
}

#[test]
fn a_table_is_known_by_its_last_part_and_then_by_its_full_name() {
    let args = run(FILE, &["orders"]);
    assert_eq!(args.table.as_deref(), Some("public.orders"));
    assert_eq!(args.work.workers, Some(2));
    let bare = "[tables.orders]\nworkers = 2\n";
    let args = run(bare, &["sales.orders"]);
    assert_eq!(
        (args.table.as_deref(), args.work.workers),
        (Some("sales.orders"), Some(2))
    );
    let two = "[tables.\"a.t\"]\n[tables.\"b.t\"]\n";
    let failure = refused(two, &["t"]);
    assert_eq!(failure.exit, ExitCode::Usage);
    assert!(failure.why.contains("a.t, b.t"), "{failure}");
}

#[test]
fn a_source_is_one_thing() {
    let source = |words: &[&str], variables: &[(&str, &str)]| {
        settled(FILE, words, variables).expect("settled").source
    };
    let named = source(&["t", "--source", "other"], &[]);
    assert_eq!((named.source, named.host.as_deref()), (None, Some("h")));
    assert_eq!(
        (named.source_type.as_deref(), named.lock_wait_s),
        (Some("mysql"), 6)
    );
    // Of a source that a flag or a variable names, nothing of the default one is left.
    let other = source(&["t", "--source", "sqlite:x"], &[]);
    assert_eq!(
        (other.source.as_deref(), other.tls, other.password_env),
        (Some("sqlite:x"), None, None)
    );
    let other = source(&["t", "--host", "elsewhere"], &[]);
    assert_eq!(
        (other.source, other.host.as_deref()),
        (None, Some("elsewhere"))
    );
    let other = source(&["t"], &[("IXTRACT_SOURCE", "sqlite:x")]);
    assert_eq!((other.source, other.tls), (None, None));
    let named = source(&["t"], &[("IXTRACT_SOURCE", "other")]);
    assert_eq!(named.host.as_deref(), Some("h"));
    // Parts of it may be said otherwise.
    let with_user = source(
        &["t", "--user", "me", "--tls", "prefer"],
        &[("PGHOST", "no")],
    );
    assert_eq!(
        with_user.source.as_deref(),
        Some("postgresql://etl@db/shop")
    );
    assert_eq!(
        (with_user.user.as_deref(), with_user.tls),
        (Some("me"), Some(TlsName::Prefer))
    );
    // A password that is given wins over where the file has one.
    let given = source(&["t", "--password-command", "x"], &[]);
    assert_eq!(given.password_env, None);
    let given = source(&["t"], &[("IXTRACT_PASSWORD", "x")]);
    assert_eq!(given.password_env, None);
}

#[test]
fn unknown_names_are_told_with_the_nearest() {
    let failure = refused(FILE, &["t", "--source", "shp"]);
    assert_eq!(failure.exit, ExitCode::Usage);
    assert!(failure.why.contains("did you mean shop?"), "{failure}");
    let failure = refused(FILE, &["t", "--profile", "prd"]);
    assert!(failure.why.contains("did you mean prod?"), "{failure}");
    let failure = refused("[defaults]\nsource = \"shp\"\n[sources.shop]\n", &["t"]);
    assert_eq!(failure.exit, ExitCode::Config);
    assert!(failure.fix.contains("ixtract.toml:2"), "{failure}");
}

#[test]
fn what_a_flag_excludes_in_the_file_is_left_out() {
    let text =
        "[defaults]\nexclude_columns = [\"a\"]\nworkers = 3\n[tables.t]\ncolumns = [\"b\"]\n";
    let names = |args: &RunArgs| {
        (
            args.selection.columns.len(),
            args.selection.exclude_columns.len(),
        )
    };
    assert_eq!(names(&run(text, &["t"])), (1, 0));
    assert_eq!(names(&run(text, &["u"])), (0, 1));
    assert_eq!(names(&run(text, &["t", "--exclude-columns", "c"])), (0, 1));
    let planned = run(text, &["--plan", "p.json"]);
    assert_eq!((names(&planned), planned.work.workers), ((0, 0), None));
}

#[test]
fn what_does_not_go_together_in_one_place_is_refused() {
    let failure = refused(
        "[defaults]\ncolumns = [\"a\"]\nexclude_columns = [\"b\"]\n",
        &["t"],
    );
    assert_eq!(failure.exit, ExitCode::Config);
    assert!(failure.what.contains("ixtract.toml:"), "{failure}");
    let failure = refused(
        "[sources.s]\nurl = \"postgresql://h/d\"\ntls_cert = \"c\"\n",
        &["t", "--source", "s"],
    );
    assert_eq!(failure.exit, ExitCode::Config);
    assert!(failure.why.contains("--tls-key"), "{failure}");
}

#[test]
fn values_by_name_are_laid_over_each_other_one_by_one() {
    let text = "[defaults.type]\na = \"float64\"\nb = \"float64\"\n[tables.t]\nlossy.b = \"date\"\nparam.x = \"1\"\nparam.y = \"2\"\nwhere = \"{x}{y}\"\n";
    let args = run(text, &["t", "--param", "y=a=3", "--type", "c=text"]);
    let columns: Vec<&str> = args
        .types
        .overrides
        .iter()
        .map(|(column, _)| column.as_str())
        .collect();
    assert_eq!(columns, ["c", "a"]);
    assert_eq!(args.types.lossy.len(), 1);
    let pairs: Vec<_> = args
        .selection
        .params
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(pairs, ["y=a=3", "x=1"]);
}

#[test]
fn a_query_of_the_file_is_called_as_its_entry_is() {
    let args = run("[tables.big]\nquery = \"SELECT 1\"\n", &["big"]);
    assert_eq!(
        (args.table, args.selection.name.as_deref()),
        (None, Some("big"))
    );
    assert_eq!(args.selection.query.as_deref(), Some("SELECT 1"));
}

#[test]
fn switches_are_turned_off_by_nearer_places() {
    let text = "[defaults]\nno_explore = true\n[tables.t]\nno_explore = false\n";
    assert!(!run(text, &["t"]).work.no_explore);
    assert!(run(text, &["u"]).work.no_explore);
}

#[test]
fn words_stay_as_they_were_written() {
    let text = "[defaults]\nworkers = 2\n";
    let args = run(
        text,
        &[
            "--csv-null",
            "--x",
            "--where",
            "a = '--b'",
            "--columns",
            "a",
            "--columns",
            "\"b,c\"",
            "--",
            "-t",
        ],
    );
    assert_eq!(args.table.as_deref(), Some("-t"));
    assert_eq!(args.output.format.csv_null.as_deref(), Some("--x"));
    assert_eq!(args.selection.columns.len(), 2);
    assert_eq!(args.work.workers, Some(2));
}

#[test]
fn flags_that_need_what_the_file_has_go_with_it() {
    let args = run("[tables.t]\nincremental = \"id\"\n", &["t", "--from", "3"]);
    assert_eq!(args.window.incremental.as_deref(), Some("id"));
}

#[test]
fn other_commands_take_only_where_things_are() {
    let home = home("[defaults]\nkeep = 3\nstate = \"h.db\"\noutput = \"o\"\n");
    let variables = [("HOME", home.path().to_str().expect("UTF-8"))];
    let of = |words: &[&str]| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        settle(&words, &Environment::of(&variables))
            .expect("settled")
            .cli
            .command
    };
    let Command::Replay(replay) = of(&["ixtract", "replay", "last"]) else {
        panic!("no replay");
    };
    assert_eq!((replay.output, replay.keep), (None, 0));
    let own = home.path().join(".config/ixtract/h.db");
    assert_eq!(replay.store.state, Some(own.clone()));
    let Command::State(crate::cli::args::StateCommand::Prune(prune)) =
        of(&["ixtract", "state", "prune", "--older-than", "1d"])
    else {
        panic!("no prune");
    };
    assert_eq!(
        (prune.keep, prune.store.state.as_deref()),
        (None, Some(Path::new(&own)))
    );
}

#[test]
fn one_table_of_the_file_needs_no_name_and_several_do() {
    assert_eq!(run("[tables.t]\n", &[]).table.as_deref(), Some("t"));
    let failure = refused("[tables.t]\n[tables.u]\n", &[]);
    assert!(failure.why.contains("t, u"), "{failure}");
    assert!(matches!(
        settled("[defaults]\n", &[], &[]),
        Err(Refusal::Syntax(_))
    ));
}

#[test]
fn no_config_is_none() {
    let args = run(FILE, &["t", "--no-config"]);
    assert_eq!((args.work.workers, args.source.source), (None, None));
}

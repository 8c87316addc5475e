//! Whatever an administrator made the default for a database or a role: the output is the same.

use super::oracle::{Kind, expect_same};
use super::table::PINNED;
use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::published::extract;
use crate::readers::{Engine, Row};
use crate::servers::{Address, Database, postgres};

/// Settings that change how values look, what names mean, or how long a statement may take.
const HOSTILE: &[&str] = &[
    "DateStyle = 'German, DMY'",
    "TimeZone = 'America/St_Johns'",
    "bytea_output = escape",
    "extra_float_digits = -15",
    "IntervalStyle = sql_standard",
    "search_path = evil, pg_catalog, public",
    "default_transaction_read_only = on",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "standard_conforming_strings = off",
    "escape_string_warning = off",
    "quote_all_identifiers = on",
    "enable_tidscan = off",
    "enable_seqscan = off",
    "xmlbinary = hex",
    "client_min_messages = debug1",
    "client_encoding = LATIN1",
    "statement_timeout = '250ms'",
    "lock_timeout = '100ms'",
    "idle_in_transaction_session_timeout = '200ms'",
    "default_statistics_target = 1",
    "max_parallel_workers_per_gather = 2",
    "parallel_setup_cost = 0",
    "parallel_tuple_cost = 0",
    "min_parallel_table_scan_size = 0",
    "plan_cache_mode = force_generic_plan",
];

/// Names shadowed: the table's, and, in a schema before the server's own, relations, functions, types
/// and operators that whoever asks the catalogue is likely to use.
const EVIL: &str = "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
    CREATE TABLE evil.t (id int PRIMARY KEY, wrong text);
    CREATE FUNCTION evil.format_type(oid, int4) RETURNS text LANGUAGE sql RETURN 'wrong';
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql RETURN '90000';
    CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE sql RETURN 'evil.t'::regclass;
    CREATE FUNCTION evil.pg_backend_pid() RETURNS int4 LANGUAGE sql RETURN -1;
    CREATE FUNCTION evil.pg_export_snapshot() RETURNS text LANGUAGE sql RETURN 'wrong';
    CREATE FUNCTION evil.pg_relation_size(oid) RETURNS int8 LANGUAGE sql RETURN 0;
    CREATE FUNCTION evil.pg_typeof(int8) RETURNS regtype LANGUAGE sql RETURN 'int2'::regtype;
    CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql RETURN 'wrong';
    CREATE FUNCTION evil.current_schemas(bool) RETURNS name[] LANGUAGE sql RETURN '{evil}'::name[];
    CREATE FUNCTION evil.row_security_active(oid) RETURNS bool LANGUAGE sql RETURN true;
    CREATE FUNCTION evil.has_schema_privilege(oid, text) RETURNS bool LANGUAGE sql RETURN false;
    CREATE FUNCTION evil.eight(int8) RETURNS int8 LANGUAGE sql RETURN 7;
    CREATE AGGREGATE evil.count(*) (SFUNC = evil.eight, STYPE = int8, INITCOND = '7');
    CREATE FUNCTION evil.never(name, name) RETURNS bool LANGUAGE sql RETURN false;
    CREATE FUNCTION evil.never(oid, oid) RETURNS bool LANGUAGE sql RETURN false;
    CREATE FUNCTION evil.never(int8, int8) RETURNS bool LANGUAGE sql RETURN false;
    CREATE FUNCTION evil.never(tid, tid) RETURNS bool LANGUAGE sql RETURN false;
    CREATE FUNCTION evil.never(name, text) RETURNS bool LANGUAGE sql RETURN false;
    CREATE OPERATOR evil.= (FUNCTION = evil.never, LEFTARG = name, RIGHTARG = name);
    CREATE OPERATOR evil.= (FUNCTION = evil.never, LEFTARG = name, RIGHTARG = text);
    CREATE OPERATOR evil.= (FUNCTION = evil.never, LEFTARG = oid, RIGHTARG = oid);
    CREATE OPERATOR evil.>= (FUNCTION = evil.never, LEFTARG = int8, RIGHTARG = int8);
    CREATE OPERATOR evil.< (FUNCTION = evil.never, LEFTARG = int8, RIGHTARG = int8);
    CREATE OPERATOR evil.>= (FUNCTION = evil.never, LEFTARG = tid, RIGHTARG = tid);
    CREATE OPERATOR evil.< (FUNCTION = evil.never, LEFTARG = tid, RIGHTARG = tid);
    CREATE TABLE evil.pg_class (oid oid, relname name, relnamespace oid);
    CREATE TABLE evil.pg_attribute (attrelid oid, attname name);
    CREATE TABLE evil.pg_type (oid oid, typname name);
    CREATE TABLE evil.pg_namespace (oid oid, nspname name);
    CREATE TABLE evil.pg_index (indexrelid oid);
    CREATE TABLE evil.pg_locks (pid int4);
    CREATE TABLE evil.pg_stats (attname name);
    CREATE TABLE evil.pg_stat_activity (pid int4);
    CREATE TABLE evil.pg_stat_all_tables (relid oid);
    CREATE DOMAIN evil.text AS pg_catalog.int2; CREATE DOMAIN evil.int8 AS pg_catalog.int2;
    CREATE DOMAIN evil.oid AS pg_catalog.int2; CREATE DOMAIN evil.tid AS pg_catalog.int2;
    CREATE DOMAIN evil.regclass AS pg_catalog.int2; CREATE DOMAIN evil.bool AS pg_catalog.int2;
    GRANT SELECT ON ALL TABLES IN SCHEMA evil TO PUBLIC";

/// The last column takes long: 40 ms a row, so that a chunk outlasts the time limits above.
const TABLE: &str = r#"
    CREATE TABLE public.t (id int8 PRIMARY KEY, "b\s'q" bytea, f float8, d date, ts timestamptz,
        i interval, x text, tz timetz,
        "class" regclass, range tstzrange);
    INSERT INTO public.t SELECT n, decode(md5(n::text), 'hex'), 1.0 / n, date '2024-02-03' + n,
        timestamptz '2024-03-10 07:00:00+00' + n * interval '17 minutes', n * interval '1 day 2 hours',
        'a\b''ü' || n, timetz '12:34:56+02', 'public.t',
        tstzrange(timestamptz '2024-03-10 07:00:00+00', NULL) FROM generate_series(1, 300) AS n;
    ANALYZE public.t;
    CREATE VIEW public.slow AS
        SELECT n AS id, pg_sleep(0.04)::text AS nothing FROM generate_series(1, 12) AS n"#;

const NAMES: [&str; 10] = [
    "id", "b\\s'q", "f", "d", "ts", "i", "x", "tz", "class", "range",
];
const KINDS: [Kind; 10] = [
    Kind::Exact,
    Kind::Bytes,
    Kind::Float64,
    Kind::Date,
    Kind::Instant,
    Kind::Exact,
    Kind::Exact,
    Kind::Exact,
    Kind::Exact,
    Kind::Exact,
];

#[test]
fn defaults_of_the_database_do_not_matter() {
    let database = filled();
    let server = database.name().to_owned();
    let before = oracle(&database);
    harden(&database, &format!("DATABASE {server}"));
    expect_output(database.address(), &before);
}

#[test]
fn defaults_of_the_role_do_not_matter() {
    let database = filled();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON public.t, public.slow TO {}",
        role.user
    ));
    let before = oracle(&database);
    harden(&database, &format!("ROLE {}", role.user));
    expect_output(&role, &before);
}

fn filled() -> Database {
    let database = postgres().fresh_database();
    database.exec(TABLE);
    database.exec(EVIL);
    database
}

fn oracle(database: &Database) -> Vec<Row> {
    let session = database.session();
    session.exec(PINNED);
    session.query_text("SELECT * FROM public.t ORDER BY id")
}

fn harden(database: &Database, whose: &str) {
    let session = database.session();
    for setting in HOSTILE {
        session.exec(&format!("ALTER {whose} SET {setting}"));
    }
}

fn expect_output(role: &Address, before: &[Row]) {
    let cli = Cli::new();
    let url = role.to_string();
    for chunking in ["key", "ctid"] {
        let flags = [
            "--workers",
            "3",
            "--chunk-rows",
            "20",
            "--chunking",
            chunking,
        ];
        let run = extract(&cli, &url, "public.t", chunking, &flags);
        run.expect_exact_cover(300);
        let read = run.rows(Engine::Pyarrow, &["id"]);
        expect_same(chunking, &NAMES, &KINDS, before, &read);
        assert!(run.chunks().len() > 1, "{chunking}: {:?}", run.chunks());
    }
    // What the user writes means what it means to the role; what is ours stays ours.
    for (what, chunking) in [("filter by key", "key"), ("filter by ctid", "ctid")] {
        let flags = ["--chunk-rows", "20", "--chunking", chunking];
        let filter = ["--workers", "2", "--where", "x IS NOT NULL"];
        let run = extract(
            &cli,
            &url,
            "public.t",
            what,
            &[&flags[..], &filter].concat(),
        );
        run.expect_exact_cover(300);
        assert!(run.chunks().len() > 1, "{what}: {:?}", run.chunks());
    }
    let query = Extraction::of_query(&url, "SELECT id, x, tz FROM public.t", "q");
    query.run(&["--workers", "2"]).expect_code(0);
    assert_eq!(query.rows().len(), 300);
    let slow = extract(&cli, &url, "public.slow", "slow", &[]);
    slow.expect_exact_cover(12);
}

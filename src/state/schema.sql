-- Version 1 of the state store. Times are RFC 3339, UTC, with six decimals, so that their order as
-- text is their order in time. Later versions add their own file; this one never changes.

-- What histories are keyed by. A failover keeps the key and changes host and port.
CREATE TABLE scopes (
    id              INTEGER PRIMARY KEY,
    key             TEXT NOT NULL UNIQUE,
    source_kind     TEXT NOT NULL,
    host            TEXT NOT NULL,
    port            INTEGER NOT NULL,
    database_name   TEXT NOT NULL,
    source_name     TEXT,
    schema_name     TEXT NOT NULL,
    table_name      TEXT NOT NULL
) STRICT;

-- One row a run, written before it starts. Source and relation stand here too, because runs of
-- several relations may share a scope (--scope). The plan is last: it is long, and a reader of the
-- other columns then never touches its pages.
CREATE TABLE runs (
    id                      INTEGER PRIMARY KEY,
    run_id                  TEXT NOT NULL UNIQUE,
    tag                     TEXT NOT NULL,
    scope_id                INTEGER NOT NULL REFERENCES scopes (id),
    source                  TEXT NOT NULL,
    relation                TEXT NOT NULL,
    status                  TEXT NOT NULL
        CHECK (status IN ('running', 'success', 'failed', 'cancelled', 'crashed')),
    pid                     INTEGER NOT NULL,
    host                    TEXT NOT NULL,
    started_at              TEXT NOT NULL,
    ended_at                TEXT,
    ixtract_version         TEXT NOT NULL,
    fingerprint             TEXT NOT NULL,
    strategy                TEXT NOT NULL,
    scheduling              TEXT NOT NULL,
    consistency             TEXT NOT NULL,
    workers                 INTEGER NOT NULL,
    chunk_count             INTEGER NOT NULL,
    constrained             INTEGER NOT NULL,
    teaches                 INTEGER NOT NULL DEFAULT 0,
    replay_of               TEXT,
    output                  TEXT NOT NULL,
    predicted_rows          INTEGER NOT NULL,
    predicted_bytes         INTEGER NOT NULL,
    predicted_throughput    REAL NOT NULL,
    predicted_s             REAL NOT NULL,
    estimate_method         TEXT NOT NULL,
    rows                    INTEGER NOT NULL DEFAULT 0,
    bytes                   INTEGER NOT NULL DEFAULT 0,
    duration_s              REAL NOT NULL DEFAULT 0,
    throughput              REAL NOT NULL DEFAULT 0,
    effective_workers       REAL NOT NULL DEFAULT 0,
    confidence              TEXT NOT NULL DEFAULT 'full',
    adaptations_json        TEXT NOT NULL DEFAULT '[]',
    snapshot_json           TEXT,
    error                   TEXT,
    estimated_cost          REAL,
    actual_cost             REAL,
    -- What the source looked like, run by run: it cannot be found out later.
    counters_json           TEXT NOT NULL,
    source_rows             INTEGER,
    source_bytes            INTEGER,
    key_min                 TEXT,
    key_max                 TEXT,
    connect_us              INTEGER,
    latency_us_json         TEXT,
    execution_context_json  TEXT NOT NULL DEFAULT '{}',
    runtime_context_json    TEXT,
    plan_json               TEXT NOT NULL
) STRICT;

CREATE INDEX runs_by_scope ON runs (scope_id, started_at);
CREATE INDEX runs_by_tag ON runs (tag);
-- Few runs are under way at a time, however long the history.
CREATE INDEX runs_under_way ON runs (source, host) WHERE status = 'running';

CREATE TABLE chunks (
    id              INTEGER PRIMARY KEY,
    run_id          TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    number          INTEGER NOT NULL,
    worker          INTEGER NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('success', 'failed', 'pending')),
    started_ms      INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    query_ms        INTEGER NOT NULL,
    answer_ms  INTEGER NOT NULL,
    decode_ms       INTEGER NOT NULL,
    write_ms        INTEGER NOT NULL,
    rows            INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    retries         INTEGER NOT NULL,
    files_json      TEXT NOT NULL,
    error           TEXT
) STRICT;

CREATE INDEX chunks_by_run ON chunks (run_id);

CREATE TABLE worker_metrics (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    worker      INTEGER NOT NULL,
    chunks      INTEGER NOT NULL,
    rows        INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    busy_ms     INTEGER NOT NULL,
    blocked_ms  INTEGER NOT NULL,
    idle_ms     INTEGER NOT NULL
) STRICT;

CREATE INDEX worker_metrics_by_run ON worker_metrics (run_id);

CREATE TABLE deviations (
    id                  INTEGER PRIMARY KEY,
    run_id              TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    deviation_ratio     REAL NOT NULL,
    diagnosed_cause     TEXT NOT NULL,
    corrective_action   TEXT NOT NULL,
    reasoning           TEXT NOT NULL,
    chunk_variance      REAL,
    throughput_change   REAL,
    confidence          TEXT NOT NULL DEFAULT 'full'
) STRICT;

CREATE INDEX deviations_by_run ON deviations (run_id);

CREATE TABLE heuristics (
    scope_id        INTEGER NOT NULL REFERENCES scopes (id) ON DELETE CASCADE,
    metric_key      TEXT NOT NULL,
    metric_value    REAL NOT NULL,
    confidence      REAL NOT NULL DEFAULT 1.0,
    updated_at      TEXT NOT NULL,
    PRIMARY KEY (scope_id, metric_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_state (
    scope_id                INTEGER PRIMARY KEY REFERENCES scopes (id) ON DELETE CASCADE,
    current_workers         INTEGER NOT NULL,
    last_throughput         REAL NOT NULL DEFAULT 0,
    last_worker_count       INTEGER NOT NULL DEFAULT 0,
    direction               TEXT NOT NULL,
    consecutive_holds       INTEGER NOT NULL DEFAULT 0,
    converged               INTEGER NOT NULL DEFAULT 0,
    previous_workers        INTEGER NOT NULL DEFAULT 0,
    previous_avg_throughput REAL NOT NULL DEFAULT 0,
    state_json              TEXT NOT NULL DEFAULT '{}',
    updated_at              TEXT NOT NULL
) STRICT;

CREATE TABLE profiles (
    scope_id        INTEGER PRIMARY KEY REFERENCES scopes (id) ON DELETE CASCADE,
    profiled_at     TEXT NOT NULL,
    row_estimate    INTEGER NOT NULL,
    size_bytes      INTEGER NOT NULL,
    avg_row_bytes   INTEGER NOT NULL,
    key_column      TEXT,
    key_type        TEXT,
    key_min         TEXT,
    key_max         TEXT,
    key_cv_permille INTEGER,
    latency_p50_us  INTEGER NOT NULL,
    latency_p95_us  INTEGER NOT NULL,
    profile_json    TEXT NOT NULL
) STRICT;

CREATE TABLE benchmarks (
    scope_id        INTEGER PRIMARY KEY REFERENCES scopes (id) ON DELETE CASCADE,
    benchmarked_at  TEXT NOT NULL,
    probe_rows      INTEGER NOT NULL,
    ranges_used     INTEGER NOT NULL,
    worker_grid     TEXT NOT NULL,
    throughput_json TEXT NOT NULL,
    optimal_workers INTEGER NOT NULL,
    confidence      REAL NOT NULL,
    signal_strength REAL NOT NULL,
    curve_shape     TEXT NOT NULL,
    row_estimate    INTEGER NOT NULL,
    result_json     TEXT NOT NULL
) STRICT;

-- Version 8 of the state store: runs whose columns are not those of the published run before them. A
-- table of its own because few runs have one, and a column after `plan_json` would be dear to read.
CREATE TABLE schema_changes (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    since           TEXT NOT NULL,
    drift_json      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

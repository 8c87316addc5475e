-- Runs of one set: tables that were extracted together. A table of its own because a column after
-- `plan_json` would be dear to read.
CREATE TABLE set_members (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    set_id          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX set_members_by_set ON set_members (set_id);

-- Version 5 of the state store: runs that were taken in from a manifest after the history was lost. A
-- manifest holds no plan, so `plan_json` of such a run is empty, and so is all that only a plan or the
-- process itself knew.
CREATE TABLE rebuilt (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    manifest        TEXT NOT NULL,
    rebuilt_at      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

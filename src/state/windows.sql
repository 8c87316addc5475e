-- The window that a run extracted, of runs of windows alone: a column after `plan_json` would be dear to read.
CREATE TABLE extracted_windows (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    window_json     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Version 4 of the state store: what runs show. `finding_json` is the whole finding; the other columns
-- of `deviations` are for people with a SQL prompt. Anomalies have a table of their own because few
-- runs have one, and a column after `plan_json` would be dear to read.
ALTER TABLE deviations ADD COLUMN finding_json TEXT NOT NULL DEFAULT '{}';
ALTER TABLE chunks ADD COLUMN storage_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker_metrics ADD COLUMN paused_ms INTEGER NOT NULL DEFAULT 0;

CREATE TABLE anomalies (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    direction       TEXT NOT NULL CHECK (direction IN ('degradation', 'improvement')),
    z               REAL NOT NULL,
    throughput      REAL NOT NULL,
    mean            REAL NOT NULL,
    sigma           REAL NOT NULL,
    runs            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Version 6 of the state store: what unfinished runs leave for others to go on with. A chunk's row is
-- written when the chunk is finished, long before its run is closed, and goes when a run of the same
-- output is published.
CREATE TABLE finished_chunks (
    run_id          TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    number          INTEGER NOT NULL,
    chunk_json      TEXT NOT NULL,
    PRIMARY KEY (run_id, number)
) STRICT;

-- A run that went on with an unfinished one. A table of its own because a column after `plan_json` would
-- be dear to read.
CREATE TABLE resumptions (
    run_id          TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    resumed         TEXT NOT NULL,
    kept            INTEGER NOT NULL,
    read            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX resumptions_by_resumed ON resumptions (resumed);
-- Unfinished runs of an output, and whatever was published to it after them.
CREATE INDEX runs_by_output ON runs (output, started_at);

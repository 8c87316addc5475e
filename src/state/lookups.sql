-- Version 3 of the state store: the newest run of all, and the newest of each relation, without
-- reading the rows of the others.
CREATE INDEX runs_by_start ON runs (started_at);
CREATE INDEX runs_by_relation ON runs (relation, scope_id, started_at);

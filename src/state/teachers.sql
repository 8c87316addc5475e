-- Version 7 of the state store: the runs that teach, without reading those that do not.
CREATE INDEX runs_that_teach ON runs (scope_id, started_at) WHERE teaches;

-- Version 2 of the state store: values that were written as NULL because their output type cannot
-- hold them, as an object from column to count.
ALTER TABLE runs ADD COLUMN nulled_json TEXT NOT NULL DEFAULT '{}';
ALTER TABLE chunks ADD COLUMN nulled_json TEXT NOT NULL DEFAULT '{}';

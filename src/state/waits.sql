-- Version 9 of the state store: what workers that waited for the source were found to wait for, look by look.
ALTER TABLE chunks ADD COLUMN waits_server INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN waits_network INTEGER NOT NULL DEFAULT 0;

-- Dead letters keep the headers that say how to read them, and what became of them when they were read again.

ALTER TABLE dead_letters ADD COLUMN headers TEXT NOT NULL DEFAULT '[]'; -- [[name, base64 or null], …]
ALTER TABLE dead_letters ADD COLUMN replayed_at BIGINT;
ALTER TABLE dead_letters ADD COLUMN outcome TEXT NOT NULL DEFAULT ''; -- of the last time it was read again

CREATE INDEX dead_letters_waiting ON dead_letters (id) WHERE replayed_at IS NULL;

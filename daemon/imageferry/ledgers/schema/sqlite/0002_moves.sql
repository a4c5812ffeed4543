-- The table of moves in core/machine.py, enforced by the database. A change there is a new numbered file here.

CREATE TRIGGER jobs_are_born BEFORE INSERT ON jobs
WHEN NEW.state NOT IN ('planned', 'failed') OR NEW.version <> 1
BEGIN
    SELECT RAISE(ABORT, 'a job is born planned or failed, in version 1');
END;

CREATE TRIGGER jobs_move BEFORE UPDATE ON jobs
WHEN OLD.state <> NEW.state AND (OLD.state || ' ' || NEW.state) NOT IN (
    'planned submitting', 'planned failed', 'planned cancelled',
    'submitting running', 'submitting planned', 'submitting in_doubt', 'submitting failed',
    'in_doubt running', 'in_doubt planned', 'in_doubt failed',
    'running succeeded', 'running failed', 'running planned',
    'failed planned', 'cancelled planned'
)
BEGIN
    SELECT RAISE(ABORT, 'the table of moves does not have this move');
END;

CREATE TRIGGER jobs_version BEFORE UPDATE ON jobs
WHEN OLD.state <> NEW.state AND NEW.version <> OLD.version + 1
BEGIN
    SELECT RAISE(ABORT, 'a move adds one to the version');
END;

CREATE TRIGGER jobs_keep_their_identity BEFORE UPDATE ON jobs
WHEN OLD.id <> NEW.id OR OLD.key <> NEW.key OR OLD.cloud <> NEW.cloud OR OLD.account <> NEW.account
    OR OLD.region <> NEW.region OR OLD.image_id <> NEW.image_id OR OLD.action <> NEW.action
    OR OLD.destination <> NEW.destination
BEGIN
    SELECT RAISE(ABORT, 'the identity of a job never changes');
END;

CREATE TRIGGER history_is_kept BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'history is only added to');
END;

-- The ledger's tables, in words that SQLite and PostgreSQL both speak; @SERIAL@ and @BYTES@ are each database's own.
-- Times are microseconds UTC, documents JSON text. A rule that can be written as a CHECK is one.

CREATE TABLE events (
    seq @SERIAL@,
    digest @BYTES@ NOT NULL UNIQUE, -- of source and event_id: an index of these themselves would be three times as large
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    cloud TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    image_id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    ignored TEXT -- the reason; NULL: accepted
);

CREATE TABLE images (
    cloud TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    image_id TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('due', 'decided', 'gone', 'failed', 'expired')),
    reason TEXT NOT NULL,
    look_due_at BIGINT,
    first_seen_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    priority BIGINT NOT NULL DEFAULT 0 CHECK (priority IN (0, 1)),
    version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
    looked_at BIGINT,
    facts TEXT,
    decision TEXT,
    undecided BIGINT NOT NULL DEFAULT 0 CHECK (undecided IN (0, 1)),
    PRIMARY KEY (image_id, region, account, cloud), -- in this order it also serves who knows the id alone
    CHECK ((outcome = 'due') = (look_due_at IS NOT NULL))
);

CREATE INDEX images_due ON images (account, region, priority, look_due_at) WHERE look_due_at IS NOT NULL;
CREATE INDEX images_undecided ON images (account, region) WHERE undecided = 1;

CREATE TABLE jobs (
    seq @SERIAL@,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL UNIQUE,
    cloud TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    image_id TEXT NOT NULL,
    image_name TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('export', 'copy')),
    destination TEXT NOT NULL CHECK (destination <> ''),
    options TEXT NOT NULL,
    policies TEXT NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN ('planned', 'submitting', 'in_doubt', 'running', 'succeeded', 'failed', 'cancelled')
    ),
    reason TEXT NOT NULL,
    priority BIGINT NOT NULL CHECK (priority IN (0, 1)),
    version BIGINT NOT NULL CHECK (version >= 1),
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    give_up_at BIGINT NOT NULL,
    class TEXT NOT NULL CHECK (
        class IN (
            '', 'ok', 'throttled', 'retry', 'wait_quota', 'wait_image', 'permanent_image', 'permanent_config', 'auth',
            'unanswered', 'never_sent'
        )
    ),
    vendor_code TEXT NOT NULL,
    request_id TEXT NOT NULL,
    attempt BIGINT NOT NULL CHECK (attempt >= 1),
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    sends BIGINT NOT NULL CHECK (sends >= 0),
    task_ref TEXT NOT NULL,
    object_keys TEXT NOT NULL,
    request TEXT NOT NULL,
    made_name TEXT NOT NULL,
    memo TEXT NOT NULL,
    sighted_at BIGINT NOT NULL,
    sent_at BIGINT,
    submitted_at BIGINT,
    ended_at BIGINT,
    FOREIGN KEY (cloud, account, region, image_id) REFERENCES images (cloud, account, region, image_id),
    CONSTRAINT the_id_begins_the_key CHECK (id = substr(key, 1, 16)),
    CONSTRAINT only_an_end_has_ended CHECK (
        (state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)
    ),
    CONSTRAINT running_has_a_task CHECK (state <> 'running' OR (task_ref <> '' AND submitted_at IS NOT NULL)),
    CONSTRAINT a_send_is_unresolved_or_not CHECK ((state IN ('submitting', 'in_doubt')) = (sent_at IS NOT NULL)),
    CONSTRAINT what_is_sent_is_frozen CHECK (state NOT IN ('submitting', 'in_doubt') OR request <> '{}')
);

-- One lock per image over exports and copies: the database itself refuses a second job in flight.
CREATE UNIQUE INDEX jobs_one_in_flight ON jobs (account, region, image_id, cloud)
WHERE state IN ('submitting', 'in_doubt', 'running');
CREATE INDEX jobs_in_flight ON jobs (account, action, region, state, cloud)
WHERE state IN ('submitting', 'in_doubt', 'running');
CREATE INDEX jobs_planned ON jobs (account, region, action, priority, due_at, seq, image_id, cloud, state)
WHERE state = 'planned';
CREATE INDEX jobs_open ON jobs (account, region, state, action, due_at) WHERE ended_at IS NULL;
CREATE INDEX jobs_give_up ON jobs (give_up_at) WHERE state IN ('planned', 'in_doubt');
CREATE INDEX jobs_counted ON jobs (cloud, account, region, action, state);
CREATE INDEX jobs_unprotected ON jobs (policies, created_at) WHERE state NOT IN ('succeeded', 'cancelled');
CREATE INDEX jobs_by_image ON jobs (image_id);
CREATE INDEX jobs_copied_ref ON jobs (account, destination, task_ref) WHERE action = 'copy';
CREATE INDEX jobs_copied_name ON jobs (account, destination, made_name) WHERE action = 'copy';

CREATE TABLE history (
    seq @SERIAL@,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    at BIGINT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    reason TEXT NOT NULL,
    class TEXT NOT NULL,
    vendor_code TEXT NOT NULL,
    request_id TEXT NOT NULL
);

CREATE INDEX history_by_job ON history (job_id, seq);

CREATE TABLE outbox (
    seq @SERIAL@,
    event_id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    image_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    done_at BIGINT
);

CREATE INDEX outbox_pending ON outbox (seq) WHERE done_at IS NULL;

-- Which publisher has which row; only kept until the row is done.
CREATE TABLE outbox_marks (
    seq BIGINT NOT NULL REFERENCES outbox (seq),
    publisher TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (seq, publisher)
);

CREATE TABLE lanes (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL CHECK (owner <> ''),
    held_until BIGINT NOT NULL
);

CREATE TABLE cursors (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE dead_letters (
    id @SERIAL@,
    source TEXT NOT NULL,
    digest TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    body @BYTES@ NOT NULL,
    UNIQUE (source, digest)
);

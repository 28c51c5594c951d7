-- Jobs, their leases, and what decides their order. PostgreSQL is the truth: what is not here did not happen.
-- Met twice (the image runs it on an empty data folder, `python -m app.migrate` takes over), so IF NOT EXISTS throughout.

CREATE TABLE IF NOT EXISTS owners (
    owner     text             PRIMARY KEY,
    last_tag  double precision NOT NULL DEFAULT 0,
    weight    double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    open_jobs integer          NOT NULL DEFAULT 0
);

-- The last turn that an owner's jobs got in a stage. Only a stage's own pass, one at a time, touches these.
CREATE TABLE IF NOT EXISTS owner_turns (
    owner     text             NOT NULL,
    stage     text             NOT NULL,
    last_turn double precision NOT NULL,
    PRIMARY KEY (owner, stage)
);

-- One row a stage: virtual time of its fair order, its pause after an outage, and which life of its queue was last seen.
CREATE TABLE IF NOT EXISTS stages (
    stage        text             PRIMARY KEY,
    virtual_time double precision NOT NULL DEFAULT 0,
    paused_until timestamptz,
    pauses       integer          NOT NULL DEFAULT 0,
    pause_reason text,
    queue_epoch  text,
    probed_at    timestamptz
);

-- `tag` orders the jobs of one host, and is given when a job is submitted; `turn` orders those that can be handed out, and
-- is given when it is a job's host's turn: a job that can't be handed out must not move the stage's virtual time.
-- Where every unfinished job is: parked (in its host's lane), ready (can be handed out now), waiting (not before a
-- time), leased (handed out). A pass reads ready rows only.
CREATE TABLE IF NOT EXISTS jobs (
    owner         text             NOT NULL,
    id            uuid             NOT NULL,
    url           text             NOT NULL,
    host          text             NOT NULL,
    corpus_name   text             NOT NULL,
    metadata      jsonb            NOT NULL DEFAULT '{}',
    chunking      jsonb            NOT NULL DEFAULT '{}',
    document      jsonb            NOT NULL DEFAULT '{}',
    batch_id      uuid,
    retry_of      uuid,
    status        text             NOT NULL DEFAULT 'queued' CHECK (status IN
                      ('queued', 'scraping', 'chunking', 'embedding', 'completed', 'failed', 'cancelled')),
    stage         text             NOT NULL,
    placement     text             NOT NULL CHECK (placement IN ('parked', 'ready', 'waiting', 'leased', 'ended')),
    tag           double precision NOT NULL,
    turn          double precision NOT NULL DEFAULT 0,
    not_before    timestamptz,
    waiting_since timestamptz      NOT NULL DEFAULT now(),
    attempt_id    uuid,
    attempt_open  boolean          NOT NULL DEFAULT false,
    committing    boolean          NOT NULL DEFAULT false,
    content_ref   text,
    as_of         timestamptz,
    bytes         bigint,
    chunks        integer,
    tokens        bigint,
    error_code    text,
    error_message text,
    failed_stage  text,
    last_event    integer          NOT NULL DEFAULT 0,
    traceparent   text,
    submitted_at  timestamptz      NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    PRIMARY KEY (owner, id),
    CHECK ((placement = 'waiting') = (not_before IS NOT NULL)),
    CHECK ((placement = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((placement = 'ended') = (status IN ('completed', 'failed', 'cancelled')))
);
-- a callback names the job alone
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_id ON jobs (id);
CREATE INDEX IF NOT EXISTS jobs_ready ON jobs (stage, turn) WHERE placement = 'ready';
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (not_before) WHERE placement = 'waiting';
CREATE INDEX IF NOT EXISTS jobs_parked ON jobs (host, tag) WHERE placement = 'parked';
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, submitted_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (stage) WHERE placement <> 'ended';
CREATE INDEX IF NOT EXISTS jobs_by_batch ON jobs (owner, batch_id) WHERE batch_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS jobs_retry_of ON jobs (owner, retry_of) WHERE retry_of IS NOT NULL;

-- How far a job got in each stage. `finished_attempt` tells a second callback of one attempt from one that came too late.
CREATE TABLE IF NOT EXISTS job_stages (
    owner             text        NOT NULL,
    job_id            uuid        NOT NULL,
    stage             text        NOT NULL,
    attempts          integer     NOT NULL DEFAULT 0,
    started_at        timestamptz,
    ended_at          timestamptz,
    first_deferred_at timestamptz,
    finished_attempt  uuid,
    trace_parent      text,
    PRIMARY KEY (owner, job_id, stage),
    FOREIGN KEY (owner, job_id) REFERENCES jobs (owner, id) ON DELETE CASCADE
);

-- In-flight rows only, and no index on a time: renewing a lease is an update that touches no index.
CREATE TABLE IF NOT EXISTS leases (
    owner       text        NOT NULL,
    job_id      uuid        NOT NULL,
    stage       text        NOT NULL,
    attempt_id  uuid        NOT NULL UNIQUE,
    phase       text        NOT NULL CHECK (phase IN ('dispatch', 'queue', 'run')),
    expires_at  timestamptz NOT NULL,
    deadline_at timestamptz,
    queue_epoch text,
    PRIMARY KEY (owner, job_id),
    FOREIGN KEY (owner, job_id) REFERENCES jobs (owner, id) ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Politeness: at most one hand-out a host at a time (`holder`), none before `next_at`. `head_tag` is a lower bound of the
-- tags parked there, so that lanes are served in fair order.
CREATE TABLE IF NOT EXISTS lanes (
    host     text             PRIMARY KEY,
    next_at  timestamptz      NOT NULL DEFAULT now(),
    holder   uuid,
    occupied boolean          NOT NULL DEFAULT true,
    head_tag double precision NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS lanes_free ON lanes (head_tag) WHERE occupied AND holder IS NULL;

-- `Idempotency-Key`: written in the transaction that writes the jobs.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    owner      text        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    body_hash  text        NOT NULL,
    answer     jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, route, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_at);

-- A deleted document or corpus: a job submitted before it does not bring it back.
CREATE TABLE IF NOT EXISTS tombstones (
    owner       text        NOT NULL,
    corpus_name text        NOT NULL,
    url         text        NOT NULL DEFAULT '',
    deleted_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, corpus_name, url)
);

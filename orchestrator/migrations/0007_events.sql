-- Events: what happened to a job, in order, each written by the transaction that made it happen.
--
-- By triggers, since a job is moved by a dozen statements and functions: whoever writes another one can't forget it. What
-- makes an event is that a row of `jobs` comes to stand elsewhere, and nothing else; `jobs.last_event` is raised by the very
-- update, so that a job's events are numbered from 1 without a gap.

-- Nothing here is a URL, a header or a text of somebody else's: a code, a count, a time. No foreign key, whose check would
-- cost each event a statement more: what deletes jobs takes their events with it, by the last trigger below.
CREATE TABLE IF NOT EXISTS job_events (
    owner      text        NOT NULL,
    job_id     uuid        NOT NULL,
    number     integer     NOT NULL,
    type       text        NOT NULL,
    status     text        NOT NULL,
    stage      text        NOT NULL,
    attempt    integer,
    reason     text,
    not_before timestamptz,
    code       text,
    bytes      bigint,
    chunks     integer,
    tokens     bigint,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, job_id, number)
);

-- why a job waits for a time: the code that its stage put it off with
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS put_off_code text;
-- what a job is of: a page of the web, or bytes that were uploaded
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'page';
ALTER TABLE jobs ALTER COLUMN last_event SET DEFAULT 1;

CREATE OR REPLACE FUNCTION write_submitted_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_events (owner, job_id, number, type, status, stage, reason)
    SELECT owner, id, last_event, 'submitted', status, stage, 'queued' FROM submitted;
    RETURN NULL;
END $$;

-- A job that is put off every second for a day still has a bounded number of events: past 500, waiting and trying again
-- are told no more, only that it comes to another stage or ends.
CREATE OR REPLACE FUNCTION number_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.last_event < 500 OR NEW.placement = 'ended' OR NEW.stage <> OLD.stage THEN
        NEW.last_event := OLD.last_event + 1;
    END IF;
    RETURN NEW;
END $$;

-- After the statement, when what it did to `job_stages` is there too.
CREATE OR REPLACE FUNCTION write_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_type text := CASE NEW.placement
        WHEN 'ended' THEN NEW.status
        WHEN 'waiting' THEN 'put_off'
        WHEN 'leased' THEN CASE
            WHEN NEW.committing AND NOT OLD.committing THEN 'committing'
            WHEN NEW.attempt_id IS DISTINCT FROM OLD.attempt_id THEN 'handed_out'
            ELSE 'started' END
        ELSE CASE WHEN OLD.placement = 'leased' AND NOT OLD.attempt_open AND NEW.stage = OLD.stage THEN 'given_back'
                  WHEN OLD.attempt_open AND NOT NEW.attempt_open THEN 'advanced'
                  WHEN NEW.stage <> OLD.stage THEN 'sent_back'
                  WHEN OLD.placement = 'waiting' THEN 'due'
                  ELSE 'given_back' END
        END;
BEGIN
    INSERT INTO job_events (
        owner, job_id, number, type, status, stage, attempt, reason, not_before, code, bytes, chunks, tokens
    ) VALUES (
        NEW.owner, NEW.id, NEW.last_event, v_type, NEW.status, coalesce(NEW.failed_stage, NEW.stage),
        (SELECT attempts FROM job_stages WHERE owner = NEW.owner AND job_id = NEW.id AND stage = NEW.stage AND attempts > 0),
        CASE WHEN NEW.placement IN ('parked', 'ready') OR v_type = 'handed_out' THEN 'queued'
             WHEN NEW.placement = 'leased' THEN 'running'
             WHEN NEW.placement = 'waiting' THEN 'upstream' END,
        NEW.not_before,
        CASE WHEN NEW.placement = 'waiting' THEN NEW.put_off_code ELSE NEW.error_code END,
        NEW.bytes, NEW.chunks, NEW.tokens
    );
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION forget_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_events USING forgotten WHERE job_events.owner = forgotten.owner AND job_events.job_id = forgotten.id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER jobs_submitted AFTER INSERT ON jobs
    REFERENCING NEW TABLE AS submitted FOR EACH STATEMENT EXECUTE FUNCTION write_submitted_events();

-- That it is a parked job's turn is no event: to its owner it waits as before. An attempt's `started` is what sets
-- `waiting_since` of a job that is handed out already.
CREATE OR REPLACE TRIGGER jobs_number_event BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN ((OLD.placement <> NEW.placement OR OLD.stage <> NEW.stage OR OLD.status <> NEW.status
           OR (NEW.committing AND NOT OLD.committing)
           OR (NEW.placement = 'leased' AND OLD.waiting_since <> NEW.waiting_since))
          AND NOT (OLD.placement = 'parked' AND NEW.placement = 'ready'))
    EXECUTE FUNCTION number_event();

CREATE OR REPLACE TRIGGER jobs_write_event AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.last_event > OLD.last_event) EXECUTE FUNCTION write_event();

CREATE OR REPLACE TRIGGER jobs_forget_events AFTER DELETE ON jobs
    REFERENCING OLD TABLE AS forgotten FOR EACH STATEMENT EXECUTE FUNCTION forget_events();

-- Pages and chunks on their way between stages. A database of its own, so that backups of the jobs leave it out.

CREATE TABLE IF NOT EXISTS content (
    ref          text        PRIMARY KEY,
    owner        text        NOT NULL,
    job_id       uuid        NOT NULL,
    attempt_id   uuid        NOT NULL,
    stage        text        NOT NULL,
    sha256       text        NOT NULL,
    body         bytea       NOT NULL,
    stored_bytes bigint      NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
-- compressed before it is sent: the server need not try again
ALTER TABLE content ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS content_by_age ON content (created_at) INCLUDE (job_id, owner, stored_bytes);

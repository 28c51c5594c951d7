-- A pass goes by index, whatever plan PostgreSQL makes of its statements and however few jobs there are when it does: a plan for
-- any arguments read all jobs to see whether a stage has too much behind it, and all lanes to open some.
ALTER FUNCTION claim_jobs(
    text, text, boolean, text, text[], bigint, bigint, double precision, integer, integer, double precision, boolean, text[]
) SET enable_seqscan = off;

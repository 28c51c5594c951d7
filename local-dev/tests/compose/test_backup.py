"""Backups of running stacks, put back into empty ones: `make backup` and `make restore`, in folders alone on their VMs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_client import PatientCaller
from compose_engine import Stack, run
from compose_fleet import ComposeFleet
from compose_jobs import assert_none_lost, jobs_in_flight

JOBS = 50
SOME_JOBS = f"""
INSERT INTO jobs (owner, id, url, host, corpus_name, stage, placement, tag, status, ended_at, metadata)
SELECT 'key:someone', gen_random_uuid(), 'https://site.test/ü/' || number, 'https://site.test', 'default', 'embedding',
       'ended', number, 'completed', now(), jsonb_build_object('number', number)
FROM generate_series(1, {JOBS}) AS number
"""
NEW_DATABASE = """export PGUSER="$POSTGRES_USER"
for name in ml_jobs ml_jobs_replaced; do dropdb --if-exists --force "$name"; done
createdb ml_jobs"""
ALL_JOBS = "SELECT md5(string_agg(jobs::text, ',' ORDER BY id)), count(*) FROM jobs"
DATABASES = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
# pg_restore meets `idempotency_keys` before it meets the jobs that this constraint looks for
UNRESTORABLE = """
CREATE FUNCTION has_jobs(text) RETURNS boolean LANGUAGE sql AS
    'SELECT EXISTS (SELECT 1 FROM public.jobs WHERE owner = $1)';
INSERT INTO idempotency_keys (owner, route, key, body_hash, answer) VALUES ('key:someone', 'r', 'k', 'h', '{}');
ALTER TABLE idempotency_keys ADD CONSTRAINT of_somebody CHECK (has_jobs(owner))
"""
RESTORABLE = "ALTER TABLE idempotency_keys DROP CONSTRAINT of_somebody; DROP FUNCTION has_jobs"


def make(stack: Stack, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return run("env", f"COMPOSE_PROJECT_NAME={stack.project}", "make", *arguments, cwd=stack.folder, check=check)


def backup(stack: Stack) -> Path:
    """Return the new dump."""
    said = make(stack, "backup").stdout
    return Path(said.splitlines()[-1].split(": ")[0])


def refusal(stack: Stack, *arguments: str) -> str:
    done = make(stack, "restore", *arguments, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def vm(fleet: ComposeFleet) -> Iterator[Stack]:
    """An orchestrator's VM of which only the database runs."""
    with fleet.copy("orchestrator") as copy:
        yield copy


@pytest.fixture
def stack(vm: Stack) -> Stack:
    """That VM with a new database, some jobs that ended, and no backup."""
    shutil.rmtree(vm.folder / "backups", ignore_errors=True)
    vm.compose("up", "-d", "--wait", "postgres")
    vm.compose("exec", "-T", "postgres", "sh", "-c", NEW_DATABASE)
    vm.compose("run", "--rm", "--no-deps", "-T", "orchestrator-migrate")
    vm.sql("postgres", SOME_JOBS)
    return vm


def test_jobs_in_flight_outlive_the_orchestrators_volumes(fleet: ComposeFleet, caller: PatientCaller) -> None:
    orchestrator = fleet["orchestrator"]
    with jobs_in_flight(fleet, caller, "restored") as ids:
        # its database, while it runs; pages and chunks under way are in another one, and in no dump
        dump = backup(orchestrator)
        orchestrator.down()
        orchestrator.up()
        said = make(orchestrator, "restore", f"FILE={dump}").stdout
        assert "stopping orchestrator orchestrator-worker orchestrator-beat" in said
        orchestrator.up()
    assert_none_lost(fleet, caller, "restored", ids)


def test_what_was_found_is_found_after_a_restore(fleet: ComposeFleet, caller: PatientCaller) -> None:
    embedding = fleet["embedding"]
    url = fleet.outside.web.add("/kept", "The heron stands in the reeds")
    job = caller.submit(url, "kept").json()
    assert caller.wait(job["job_id"], 60)["status"] == "completed"
    question = {"query": "Where does the heron stand?", "corpus_name": "kept"}
    before = caller.request("POST", "/api/embedding/search", json=question).json()["results"]
    assert before
    dump = backup(embedding)
    embedding.down()
    embedding.up()
    assert caller.request("POST", "/api/embedding/search", json=question).status_code == 404
    make(embedding, "restore", f"FILE={dump}")
    embedding.up()
    assert caller.request("POST", "/api/embedding/search", json=question).json()["results"] == before


def test_a_backup_is_for_its_owners_eyes_and_in_no_repository(stack: Stack) -> None:
    dump = backup(stack)
    assert dump.stat().st_mode & 0o777 == 0o600
    assert dump.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in dump.parent.iterdir()) == [".gitignore", dump.name]
    assert (dump.parent / ".gitignore").read_text() == "*\n"


def test_a_restore_gives_back_every_row(stack: Stack) -> None:
    before = stack.sql("postgres", ALL_JOBS)
    assert before[0][1] == str(JOBS)
    dump = backup(stack)
    stack.down()
    # into nothing at all: it starts the database itself
    assert f"{JOBS} jobs from" in make(stack, "restore", f"FILE={dump}").stdout
    assert stack.sql("postgres", ALL_JOBS) == before
    assert stack.sql("postgres", DATABASES)[0] == ["ml_content ml_jobs postgres"]


def test_jobs_are_overwritten_only_by_force(stack: Stack) -> None:
    dump = backup(stack)
    stack.sql("postgres", "DELETE FROM jobs WHERE tag > 1")
    assert "ml_jobs holds 1 jobs" in refusal(stack, f"FILE={dump}")
    assert stack.sql("postgres", ALL_JOBS)[0][1] == "1"
    make(stack, "restore", f"FILE={dump}", "FORCE=1")
    assert stack.sql("postgres", ALL_JOBS)[0][1] == str(JOBS)


def test_what_is_no_whole_dump_of_this_database_is_refused(stack: Stack, fleet: ComposeFleet) -> None:
    before = stack.sql("postgres", ALL_JOBS)
    whole = backup(stack).read_bytes()
    cut, text = stack.folder / "cut.dump", stack.folder / "text.dump"
    cut.write_bytes(whole[:-100])  # of its last table: the list of what is in it stands before all of them
    text.write_text("this is no dump")
    assert "which dump?" in refusal(stack, "FORCE=1")
    assert "no file that can be read" in refusal(stack, "FILE=nothing.dump", "FORCE=1")
    assert "text.dump is not a dump" in refusal(stack, "FILE=text.dump", "FORCE=1")
    assert "cut.dump is broken" in refusal(stack, "FILE=cut.dump", "FORCE=1")
    vectors = backup(fleet["embedding"])
    assert "a dump of another database" in refusal(stack, f"FILE={vectors}", "FORCE=1")
    assert stack.sql("postgres", ALL_JOBS) == before


@pytest.mark.parametrize(
    ("spoilt", "mended", "complaint"),
    [
        (UNRESTORABLE, RESTORABLE, "of_somebody"),
        (
            "INSERT INTO schema_migrations VALUES (99, '0099_later.sql', 'hash')",
            "DELETE FROM schema_migrations WHERE version = 99",
            "the database is ahead of this code",
        ),
    ],
    ids=["a dump that breaks off", "a dump of newer code"],
)
def test_a_restore_that_fails_changes_nothing(stack: Stack, spoilt: str, mended: str, complaint: str) -> None:
    stack.sql("postgres", spoilt)
    dump = backup(stack)
    stack.sql("postgres", mended)
    stack.sql("postgres", "DELETE FROM jobs WHERE tag > 2")
    before = stack.sql("postgres", ALL_JOBS)
    said = refusal(stack, f"FILE={dump}", "FORCE=1")
    assert complaint in said
    assert "failed; ml_jobs is what it was" in said
    assert stack.sql("postgres", ALL_JOBS) == before
    assert stack.sql("postgres", DATABASES)[0] == ["ml_content ml_jobs postgres"]


def test_a_dump_of_older_code_is_migrated(stack: Stack) -> None:
    stack.sql("postgres", "ALTER TABLE leases DROP COLUMN start_id; DELETE FROM schema_migrations WHERE version = 2")
    dump = backup(stack)
    assert "0002_start_id.sql" in make(stack, "restore", f"FILE={dump}", "FORCE=1").stdout
    assert stack.sql("postgres", "SELECT count(start_id) FROM leases")[0] == ["0"]


def test_time_that_passed_since_the_dump_is_nobodys_waiting(stack: Stack) -> None:
    stack.sql(
        "postgres",
        """UPDATE jobs SET placement = 'leased', status = 'scraping', stage = 'scraping', ended_at = NULL;
           INSERT INTO leases (owner, job_id, stage, attempt_id, phase, expires_at)
               SELECT owner, id, stage, gen_random_uuid(), 'run', now() + interval '1 hour' FROM jobs;
           INSERT INTO job_stages (owner, job_id, stage, attempts, first_deferred_at)
               SELECT owner, id, stage, 4, now() - interval '2 days' FROM jobs""",
    )
    dump = backup(stack)
    make(stack, "restore", f"FILE={dump}", "FORCE=1")
    # the fourth attempt of four did not fail, it can be made again
    state = "SELECT count(*) FROM job_stages WHERE attempts = 3 AND first_deferred_at IS NULL"
    assert stack.sql("postgres", state)[0] == [str(JOBS)]
    assert stack.sql("postgres", "SELECT count(*) FROM leases WHERE expires_at < now()")[0] == [str(JOBS)]


def test_a_restore_that_was_cut_off_after_the_swap_is_not_run_over(stack: Stack) -> None:
    dump = backup(stack)
    stack.sql("postgres", "CREATE DATABASE ml_jobs_replaced")
    assert "an earlier restore was cut off" in refusal(stack, f"FILE={dump}", "FORCE=1")
    assert "ml_jobs_replaced" in stack.sql("postgres", DATABASES)[0][0]


def test_no_database_is_swapped_under_somebody_who_uses_it(stack: Stack) -> None:
    dump = backup(stack)
    sleeper = ("exec", "-d", "postgres", "sh", "-c", 'psql -U "$POSTGRES_USER" -d ml_jobs -c "SELECT pg_sleep(60)"')
    stack.compose(*sleeper)
    # said before the dump is read, which may take an hour
    assert "1 connections to ml_jobs are open" in refusal(stack, f"FILE={dump}", "FORCE=1")
    assert stack.sql("postgres", DATABASES)[0] == ["ml_content ml_jobs postgres"]

"""Finding traces in the store, from another process than the sink's, or when none runs."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from traces.spans import Kind, Span, with_rest
from traces.store import BUSY_SECONDS, FILE_NAME, VERSION, Worth

SHORTEST_PREFIX = 4
MOST_CANDIDATES = 8
_ID = re.compile(r"[0-9a-f-]+")


class NotFoundError(LookupError):
    """There is no such trace; the message is for the person at the terminal."""


class NoStoreError(NotFoundError):
    """No trace has ever been kept in this folder."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A trace in a list.

    `name` and `service` are its root's, or its earliest span's while that has not arrived; `jobs` are the addresses of
    the jobs that it is of, by their ids.
    """

    trace_id: str
    worth: Worth
    start_ns: int
    end_ns: int
    spans: int
    errors: int
    left_out: int
    service: str
    name: str
    jobs: dict[str, str]


class TraceReader:
    """The store, read only."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def latest(self, most: int, least_worth: Worth = Worth.OWN) -> list[Summary]:
        """Return traces, those that began last first."""
        rows = self._database.execute(
            "SELECT trace_id FROM traces WHERE worth >= ? ORDER BY start_ns DESC LIMIT ?", (least_worth, most)
        ).fetchall()
        return [self.summary(trace_id) for (trace_id,) in rows]

    def counts(self) -> dict[Worth, int]:
        """Return how many traces of each kind there are."""
        rows = self._database.execute("SELECT worth, count(*) FROM traces GROUP BY worth").fetchall()
        return {worth: dict(rows).get(worth, 0) for worth in Worth}

    def summary(self, trace_id: str) -> Summary:
        """Return what a list says of a trace."""
        (worth, start_ns, end_ns, spans, errors, left_out) = self._database.execute(
            "SELECT worth, start_ns, end_ns, spans, errors, left_out FROM traces WHERE trace_id = ?", (trace_id,)
        ).fetchone()
        root = self._database.execute(
            "SELECT service, name FROM spans WHERE trace_id = ? ORDER BY parent_id = '' DESC, start_ns LIMIT 1",
            (trace_id,),
        ).fetchone()
        jobs = self._database.execute(
            "SELECT job_id, url FROM jobs WHERE trace_id = ? ORDER BY spans DESC, job_id", (trace_id,)
        ).fetchall()
        service, name = root or ("", "")
        return Summary(
            trace_id, Worth(worth), start_ns, end_ns, spans, errors, left_out, service, name, jobs=dict(jobs)
        )

    def spans(self, trace_id: str) -> list[Span]:
        """Return a trace's spans, the earliest first."""
        rows = self._database.execute(
            "SELECT span_id, parent_id, service, name, kind, start_ns, end_ns, error, rest FROM spans"
            " WHERE trace_id = ? ORDER BY start_ns, end_ns DESC, span_id",
            (trace_id,),
        )
        return [
            with_rest(
                rest,
                trace_id=trace_id,
                span_id=span_id,
                parent_id=parent_id,
                service=service,
                name=name,
                kind=Kind(kind),
                start_ns=start_ns,
                end_ns=end_ns,
                error=bool(error),
            )
            for span_id, parent_id, service, name, kind, start_ns, end_ns, error, rest in rows
        ]

    def find(self, given: str) -> str:
        """Return the id of the trace that an id or the beginning of one means: a trace's, or a job's.

        Raises
        ------
        NotFoundError
            If that is none, or several.
        """
        wanted = given.strip().lower()
        if not _ID.fullmatch(wanted) or len(wanted) < SHORTEST_PREFIX:
            raise NotFoundError(
                f"{given!r} is no id: a trace has 32 hexadecimal digits, a job's id is a UUID, and of both the first"
                f" {SHORTEST_PREFIX} characters do where no other begins with them"
            )
        traces, jobs = self._beginning_with(wanted)
        found = traces | set(jobs.values())
        if not found:
            raise NotFoundError(f"No trace or job begins with {wanted}. {self._what_is_kept()}")
        if len(found) > 1:
            names = [f"  trace {trace_id}" for trace_id in sorted(traces)]
            names += [f"  job   {job_id}" for job_id in sorted(jobs)]
            more = [f"  … {len(names) - MOST_CANDIDATES} more"] if len(names) > MOST_CANDIDATES else []
            raise NotFoundError("\n".join([f"Several begin with {wanted}:", *names[:MOST_CANDIDATES], *more]))
        return found.pop()

    def _beginning_with(self, prefix: str) -> tuple[set[str], dict[str, str]]:
        """Return traces by their ids, and for each job the trace that has most of it."""
        until = prefix + "g"  # after every hexadecimal digit and the dash
        bounds = (prefix, until)
        traces = self._database.execute("SELECT trace_id FROM traces WHERE trace_id BETWEEN ? AND ?", bounds).fetchall()
        jobs = self._database.execute(
            "SELECT job_id, trace_id FROM jobs WHERE job_id BETWEEN ? AND ? ORDER BY spans", bounds
        ).fetchall()
        return {trace_id for (trace_id,) in traces}, dict(jobs)

    def _what_is_kept(self) -> str:
        (number,) = self._database.execute("SELECT count(*) FROM traces").fetchone()
        return f"{number:,} traces are kept, the older ones are gone." if number else "No trace is kept yet."


@contextmanager
def opened(folder: Path) -> Iterator[TraceReader]:
    """Open the store of a folder.

    Raises
    ------
    NoStoreError
        If there is none.
    NotFoundError
        If it can't be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        raise NoStoreError("No trace has been kept here yet.")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise sqlite3.DatabaseError(f"its version is {version}, not {VERSION}")
            database.execute("BEGIN")  # one state of it, whatever arrives meanwhile
            yield TraceReader(database)
    except sqlite3.Error as error:
        raise NotFoundError(
            f"The traces in {path} can't be read: {error}. A new start of the fleet mends it"
        ) from error

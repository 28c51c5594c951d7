"""The file that spans are kept in: bounded by traces, by spans and bytes of a trace, and by bytes in all."""

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Self

from ml_shared.telemetry import attributes
from traces.spans import Kind, Span

FILE_NAME = "traces.sqlite3"
VERSION = 1
# another one's file is thrown away: what it holds is of yesterday
BUSY_SECONDS = 2.0
OTHER_BYTES = 300
# of a span: its names, ids, times, and its place in the index
_READS = ("GET", "HEAD")
_SCHEMA = """
CREATE TABLE traces (
    trace_id TEXT PRIMARY KEY,
    worth INTEGER NOT NULL,
    arrived INTEGER NOT NULL,   -- a number that grows with each batch: which trace has been silent for longest
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    left_out INTEGER NOT NULL   -- spans beyond what a trace may have
) WITHOUT ROWID;
CREATE INDEX traces_by_arrival ON traces (worth, arrived);
CREATE TABLE spans (
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    error INTEGER NOT NULL,
    rest TEXT NOT NULL,
    UNIQUE (trace_id, span_id)
);  -- with row ids: without, each row of a kilobyte would take a page of four
CREATE TABLE jobs (
    job_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    spans INTEGER NOT NULL,
    url TEXT NOT NULL,          -- as spans tell it; empty while none has
    PRIMARY KEY (job_id, trace_id)
) WITHOUT ROWID;
CREATE INDEX jobs_of_trace ON jobs (trace_id);
"""


class Worth(IntEnum):
    """How likely somebody asks for a trace, the least first."""

    OWN = 0
    """What the fleet does by itself: beat's passes, a hundred a minute when nothing happens."""
    READ = 1
    """A request that only reads: whoever waits for a job asks for it again and again."""
    WORK = 2
    """Anything that writes, a job's work, and every failure."""


@dataclass(frozen=True)
class Bounds:
    """What is kept at most.

    A trace that is beyond its own bounds is cut. When there are too many traces, or too many bytes, the one goes that
    was silent for longest: of the fleet's own if they have more than their share, or else of the reads likewise, or
    else of the others. Without that an idle fleet would take ten minutes to push everything out that anybody looks for.
    """

    traces: int = 1_000
    own: int = 100
    reads: int = 300
    spans_of_a_trace: int = 2_000
    bytes_of_a_trace: int = 4 * 2**20
    bytes: int = 128 * 2**20


class Store:
    """The file as its one writer has it. What can't be read as a store is replaced by an empty one."""

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        try:
            self._database = _open(path)
        except sqlite3.OperationalError:  # locked, or not to be written: nothing is wrong with what it holds
            raise
        except sqlite3.DatabaseError:
            for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
                name.unlink(missing_ok=True)
            self._database = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, spans: Iterable[Span]) -> None:
        """Keep spans, and let go of the oldest traces that there is no room for, in one transaction."""
        by_trace = groupby(sorted(spans, key=attrgetter("trace_id")), key=attrgetter("trace_id"))
        with self._database as database:
            (latest,) = database.execute("SELECT coalesce(max(arrived), 0) FROM traces").fetchone()
            for trace_id, group in by_trace:
                self._add_to(trace_id, list(group), latest + 1)
            self._evict()

    def _add_to(self, trace_id: str, spans: list[Span], arrived: int) -> None:
        kept = self._database.execute("SELECT spans, bytes FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
        count, size = kept or (0, 0)
        added: list[Span] = []
        left_out = 0
        for span in spans:
            rest = span.rest
            more = len(rest.encode()) + OTHER_BYTES
            if count >= self._bounds.spans_of_a_trace or size + more > self._bounds.bytes_of_a_trace:
                left_out += 1
            elif self._insert(span, rest):  # one that was sent again is there already
                count, size = count + 1, size + more
                added.append(span)
        self._database.execute(
            "INSERT INTO traces VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (trace_id) DO UPDATE SET"
            " worth = max(worth, ?2), arrived = ?3, start_ns = min(start_ns, ?4), end_ns = max(end_ns, ?5),"
            " spans = ?6, errors = errors + ?7, bytes = ?8, left_out = left_out + ?9",
            (
                *(trace_id, max(_worth(span) for span in spans), arrived),
                *(min(span.start_ns for span in spans), max(span.end_ns for span in spans)),
                *(count, sum(span.error for span in added), size, left_out),
            ),
        )
        self._database.executemany(
            "INSERT INTO jobs VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET spans = spans + 1,"
            " url = CASE WHEN url = '' THEN ?3 ELSE url END",
            [
                (str(span.attributes[attributes.JOB_ID]), trace_id, str(span.attributes.get(attributes.JOB_URL, "")))
                for span in added
                if attributes.JOB_ID in span.attributes
            ],
        )

    def _insert(self, span: Span, rest: str) -> bool:
        done = self._database.execute(
            "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(span.trace_id, span.span_id, span.parent_id, span.start_ns, span.end_ns),
                *(span.service, span.name, span.kind, span.error, rest),
            ),
        )
        return done.rowcount == 1

    def _evict(self) -> None:
        rows = self._database.execute("SELECT worth, count(*), sum(bytes) FROM traces GROUP BY worth").fetchall()
        counts = {Worth(worth): count for worth, count, _ in rows}
        size = sum(row[2] for row in rows)
        shares = {Worth.OWN: self._bounds.own, Worth.READ: self._bounds.reads}
        while sum(counts.values()) > self._bounds.traces or size > self._bounds.bytes:
            first = next((worth for worth, share in shares.items() if counts.get(worth, 0) > share), Worth.WORK)
            trace_id, worth, freed = self._database.execute(
                "SELECT trace_id, worth, bytes FROM traces ORDER BY worth = ? DESC, arrived, start_ns LIMIT 1", (first,)
            ).fetchone()
            for table in ("spans", "jobs", "traces"):
                self._database.execute(f"DELETE FROM {table} WHERE trace_id = ?", (trace_id,))  # noqa: S608 - ours
            counts[Worth(worth)] -= 1
            size -= freed


def _worth(span: Span) -> Worth:
    if span.kind is Kind.SERVER and not span.error:
        return Worth.READ if span.attributes.get("http.request.method") in _READS else Worth.WORK
    return Worth.WORK if span.error or attributes.JOB_ID in span.attributes else Worth.OWN


def _open(path: Path) -> sqlite3.Connection:
    # gRPC's one thread of ours writes, and the main thread closes when that has ended
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"version {version}")
        database.execute("PRAGMA journal_mode = WAL")  # who reads does not hold up who writes
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 4194304")
        if version == 0:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.DatabaseError:
        with contextlib.suppress(sqlite3.Error):
            database.close()
        raise
    return database

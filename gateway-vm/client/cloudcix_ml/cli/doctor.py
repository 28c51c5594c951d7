"""`doctor`: whether everything works, from here to a page that is found again, and how to mend what does not."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Final

import typer
from rich.text import Text

from cloudcix_ml.cli import settings
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.client import Client
from cloudcix_ml.errors import (
    CloudCIXError,
    ConfigurationError,
    JobFailedError,
    ProblemError,
    TransportError,
    WaitTimeoutError,
)
from cloudcix_ml.models.jobs import Job, JobStatus
from cloudcix_ml.operations.services import SERVICES
from cloudcix_ml.standing import line_of
from cloudcix_ml.texts import one_line, plain

PAGE: Final = "https://example.com/"
MOST_SKEW_SECONDS: Final = 60.0
# webhooks older than five minutes are refused, and times in filters mean little long before
LAST_WORDS: Final = 12
ADDRESS_MEND: Final = (
    "is that the gateway's address, and does this machine reach it? `cloudcix-ml login` keeps another one"
)


@dataclass(frozen=True)
class Step:
    """What was looked at, what was found, and how to mend it; `good` is None where it was not come to."""

    name: str
    good: bool | None
    seconds: float
    found: str
    mend: str = ""


class _Sick(Exception):  # noqa: N818 - a finding, and not an error of this package
    """Something is not as it should be."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found)
        self.found, self.mend = found, mend


def doctor(
    shell: Shell,
    page: Annotated[str, typer.Option(help="A page that the platform may fetch.")] = PAGE,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the page.")] = 120.0,
) -> int:
    """Look whether everything works: services, key, clock, and one real page that is indexed and found again.

    The page goes into a corpus of its own, which is deleted afterwards.
    """
    steps = []
    for step in examined(shell, page, timeout):
        steps.append(step)
        if shell.out.shown:
            _show(shell, step)
    good = all(step.good for step in steps)
    if shell.out.as_json:
        shell.out.data({"good": good, "steps": [asdict(step) for step in steps]})
    else:
        shell.out.note("Everything works." if good else "Not everything works; what to do stands above.")
    return Exit.GOOD if good else Exit.FAILED


def _show(shell: Shell, step: Step) -> None:
    word, style = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("-", "dim")}[step.good]
    took = "" if step.good is None else f"{step.seconds:6.2f} s"
    shell.out.text(Text.assemble((f"{word:<7}", style), f"{took:>9}  {step.name}: ", plain(step.found)))
    if step.mend:
        shell.out.text(Text.assemble(" " * 18, ("mend: ", "bold"), plain(step.mend)))


def examined(shell: Shell, page: str, timeout: float) -> Iterator[Step]:
    """Go through everything; what needs what is not there is not come to."""
    place = _step("address and key", _place)
    yield place
    if not place.good:
        yield from (_left(name) for name in (*SERVICES, "clock", "key", "a page"))
        return
    client = shell.client
    services = [_step(name, partial(_service, client, name)) for name in SERVICES]
    yield from services
    yield _step("clock", partial(_clock, client))
    key = _step("key", partial(_key, client))
    yield key
    if key.good and all(one.good for one in services):
        yield _step("a page", partial(_page, shell, client, page, timeout))
    else:
        yield _left("a page")


def _left(name: str) -> Step:
    return Step(name, None, 0.0, "not looked at, because of the above")


def _step(name: str, look: Callable[[], str]) -> Step:
    began = time.monotonic()

    def made(good: bool, found: str, mend: str = "") -> Step:
        return Step(name, good, round(time.monotonic() - began, 3), found, mend)

    try:
        return made(True, look())
    except _Sick as sick:
        return made(False, sick.found, sick.mend)
    except ConfigurationError as error:
        return made(False, str(error), "`cloudcix-ml login`")
    except TransportError as error:
        return made(False, str(error), ADDRESS_MEND)
    except ProblemError as error:
        return made(False, str(error), _mend_of(error))
    except CloudCIXError as error:
        return made(False, str(error), ADDRESS_MEND)


def _mend_of(error: ProblemError) -> str:
    if error.status == 401:
        return "`cloudcix-ml login` with a key that Membership knows"
    if error.worth_repeating:
        return "try it again in a while; if it stays so, the platform's operator sees why in its dashboards"
    trace = f", and give the trace {error.trace_id}" if error.trace_id else ""
    return f"{error.detail}; or ask the platform's operator{trace}"


def _place() -> str:
    known = settings.load()
    if not known.url or not known.key:
        raise ConfigurationError(f"no {'key' if known.url else 'address'} is known")
    return f"{known.url}, and a key"


def _service(client: Client, name: str) -> str:
    try:
        health = client.health(name)
    except ProblemError as error:
        raise _Sick(str(error), f"is the {name}'s VM up? On it: docker compose ps") from None
    if health.good:
        return f"version {health.version}, {', '.join(health.checks) or 'nothing to check'}"
    sick = ", ".join(check for check, found in health.checks.items() if found.status != "ok")
    raise _Sick(f"not well: {sick}", f"on the {name}'s VM: docker compose ps, and docker compose logs {sick}")


def _clock(client: Client) -> str:
    skew = client.clock_skew()
    if skew is None:
        return "the gateway does not tell its time"
    if abs(skew) > MOST_SKEW_SECONDS:
        ahead = "ahead of" if skew > 0 else "behind"
        raise _Sick(f"{abs(skew):.0f} s {ahead} the gateway's", "set one of both by NTP (timedatectl set-ntp true)")
    return f"{abs(skew):.1f} s from the gateway's"


def _key(client: Client) -> str:
    return "known" if list(islice(client.corpora.list(page_size=1), 1)) else "known; no corpus yet"


def _page(shell: Shell, client: Client, page: str, timeout: float) -> str:
    corpus = f"doctor-{secrets.token_hex(6)}"
    try:
        with shell.out.progress() as progress:
            progress.say(f"indexing {page}")
            accepted = client.jobs.submit(page, corpus_name=corpus)
            job = client.jobs.wait(accepted.job_id, timeout_seconds=timeout)
            if job.status != JobStatus.COMPLETED:
                raise JobFailedError(job)
            progress.say("looking for it")
            return f"{_found(client, corpus, page)}; {job.counts.chunks} chunks"
    except JobFailedError as error:
        mend = "choose a page that the platform may fetch: `cloudcix-ml doctor --page https://…`"
        trace = f" (trace {error.job.trace_id})" if error.job.trace_id else ""
        raise _Sick(f"{error}{trace}", mend) from None
    except WaitTimeoutError as late:
        why = line_of(late.subject) if isinstance(late.subject, Job) else str(late)
        with suppress(CloudCIXError):
            client.jobs.cancel(accepted.job_id)
        raise _Sick(
            f"not indexed in {timeout:g} s: {why}", "wait longer: --timeout 600; a site may ask for patience"
        ) from None
    finally:
        with suppress(CloudCIXError):
            client.corpora.delete(corpus)


def _found(client: Client, corpus: str, page: str) -> str:
    """Search for the page's own words, by meaning and by words."""
    document = next(iter(client.documents.list(corpus, page_size=1)), None)
    if document is None:
        raise _Sick("indexed, and not in its corpus", "ask the platform's operator; the embedding service lost it")
    words = one_line(client.documents.content(corpus, document.document_id).text).split()[:LAST_WORDS]
    answer = client.search(" ".join(words), corpus_name=corpus, top_k=1)
    if not answer.results or answer.results[0].document_id != document.document_id:
        raise _Sick("indexed, and not found", "ask the platform's operator; its search finds nothing by own words")
    return f"{page} was indexed, and found in {answer.took_ms:.0f} ms"


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "doctor")(doctor)

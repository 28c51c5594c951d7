"""The attacks, a row of the table each: who does what to whom, and when it came to nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from attack.crowding import (
    a_full_queue,
    dead_children,
    half_sent_headers,
    large_texts,
    service_ports,
    without_a_key,
)
from attack.ground import FULL, Ground, Outcome, Scale
from attack.probing import (
    image_references,
    loose_ends,
    loose_json,
    memory_limits,
    nasty_values,
    services_keys,
    signed_urls,
)
from ml_shared.testing.pace import slowness

FACTOR: Final = 2.0
# another caller's single request may take twice its idle time, or somewhat more: `Scale.slack_seconds`; in the short form more on a slow machine


@dataclass(frozen=True)
class Row:
    """One attack.

    Attributes
    ----------
    name
        What `make attack ARGS=…` calls it.
    what
        Who does what to whom.
    run
        Attacks, and says what came of it.
    """

    name: str
    what: str
    run: Callable[[Ground, Scale], Outcome]


def stands(outcome: Outcome, scale: Scale) -> list[str]:
    """Return what is wrong with an outcome: nothing, if the attack came to nothing."""
    wrong = list(outcome.faults)
    if outcome.before.failures:
        wrong.append(f"the victim was not served before, either: {outcome.before.failures[0]}")
    if outcome.lost:
        wrong.append(f"{outcome.lost} processes were lost")
    if outcome.during.failures:
        wrong.append(f"the victim was refused {len(outcome.during.failures)} times: {outcome.during.failures[0]}")
    if outcome.before.seconds and not outcome.delays_are_meant:
        idle, now = outcome.before.percentile(50), outcome.during.percentile(50)
        most = idle + scale.slack_seconds
        if scale is not FULL:  # on a machine that is slow, or stalls: so that requests are late though nobody attacks
            most = outcome.before.percentile(95) + scale.slack_seconds * slowness()
        if now > max(FACTOR * idle, most):
            wrong.append(f"the victim's median went from {idle * 1000:.0f} ms to {now * 1000:.0f} ms")
    return wrong


ROWS: Final = (
    # these two before the queue is full: they would wait for all that is in it
    Row("signed-urls", "one key: secrets in URLs; every log is looked through", signed_urls),
    Row("dead-children", "embedding's worker loses its children; the victim has documents indexed", dead_children),
    Row("large-json", "no key: large JSON; the victim cuts one line", without_a_key),
    Row("full-queue", "one key: large documents into embedding's queue; the victim queues one", a_full_queue),
    Row("half-headers", "no key: headers that never end; the victim lists jobs", half_sent_headers),
    Row("large-texts", "one key: large texts to cut, many at once; the victim cuts one line", large_texts),
    Row("values", "one key: times, cursors, integers, names that storage refuses", nasty_values),
    Row("json", "one key: NaN, names twice, wrong types, parameters twice", loose_json),
    Row("ports", "a service's port: slow bodies, handshakes, headers; the victim cuts one line", service_ports),
    Row("service-keys", "a service's key on users' routes", services_keys),
    Row("loose-ends", "slashes, methods, encodings, listeners", loose_ends),
    Row("memory", "all of the above; each program beside its container's limit", memory_limits),
    Row("images", "a tag that is moved to another image", image_references),
)

"""The lists that one Celery queue is in Redis: kombu keeps one a priority, and a worker empties them in their order.

The first has the queue's own name, and is the orchestrator's: no hand-out waits behind a direct task. In the others lie
direct tasks, those of an owner who has few before those of one who has many. A worker of an earlier version listens to
the same lists, which are kombu's defaults, and a message that it left in the first one is worked off there.
"""

from typing import Final

PRIORITY_STEPS: Final = (0, 3, 6, 9)
PRIORITY_SEPARATOR: Final = "\x06\x16"
# both kombu's own; said here because what is read and written beside kombu depends on them
FIRST_TASKS: Final = (1, 8)
# How many of an owner's unfinished tasks there are when the first list of direct tasks takes no more of them, and the
# second; the rest goes to the last. A caller's only task waits for one of each other's, whatever those have queued


def queue_lists(queue: str) -> list[str]:
    """Return the keys of a queue's lists, in the order in which they are worked off."""
    return [queue if step == 0 else f"{queue}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS]

"""What a touch, or a removal, comes upon."""

from enum import StrEnum


class Found(StrEnum):
    """What a document was found to be: as it was known, newer than that, not there, or another."""

    DONE = "done"
    SUPERSEDED = "superseded"
    ABSENT = "absent"
    DIFFERS = "differs"

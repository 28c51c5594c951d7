"""How much rendering a page may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderBounds:
    """What rendering a page may take.

    Attributes
    ----------
    seconds
        In all.
    max_requests
        That are fetched for it.
    max_bytes
        Of their bodies, together.
    max_page_bytes
        Of what comes of it.
    """

    seconds: float
    max_requests: int
    max_bytes: int
    max_page_bytes: int

"""How a service is."""

from cloudcix_ml.models.base import Answered


class Check(Answered):
    """Something that a service works with."""

    status: str
    latency_ms: float


class Health(Answered):
    """A service's own word on how it is."""

    status: str
    service: str
    version: str
    checks: dict[str, Check]

    @property
    def good(self) -> bool:
        """Whether it can do its work."""
        return self.status == "ok"

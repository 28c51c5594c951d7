"""What became of a page: of a crawl, or submitted by itself."""

from dataclasses import dataclass

from demo.expectations import Expected, ExpectedPage
from ml_shared.contracts.crawls import PageView, RunOutcome
from ml_shared.contracts.jobs import JobStatus, JobView

INDEXED = frozenset({RunOutcome.NEW, RunOutcome.CHANGED, RunOutcome.UNCHANGED})


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """What became of a page.

    Attributes
    ----------
    job
        Its job, if there was one.
    view
        What its run says of it, if it is of one that met it.
    """

    page: ExpectedPage
    job: JobView | None = None
    view: PageView | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether its passages can be found."""
        return self._came_to[0] is Expected.INDEXED

    @property
    def searchable_seconds(self) -> float | None:
        """From submission until its passages could be found, on the orchestrator's clock."""
        if not self.is_indexed or self.job is None or self.job.ended_at is None:
            return None
        return (self.job.ended_at - self.job.submitted_at).total_seconds()

    @property
    def as_expected(self) -> bool:
        """Whether it ended as it should, for the reason that it should."""
        came_to, reason = self._came_to
        return came_to is self.page.outcome and (came_to is Expected.INDEXED or reason == self.page.reason)

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        if self.view is not None and self.view.outcome is not None:
            return f"{self.view.outcome}: {self.view.reason}" if self.view.reason else self.view.outcome.value
        if self.job is None:
            return "not met"
        if self.job.error is None:
            return self.job.status.value
        return f"{self.job.status} in {self.job.error.failed_stage}: {self.job.error.code}"

    @property
    def reason(self) -> str:
        """How it ended, with what the platform says of it."""
        told = (
            self.view.detail
            if self.view is not None
            else self.job.error.message
            if self.job and self.job.error
            else None
        )
        return f"{self.ending} ({told})" if told else self.ending

    @property
    def _came_to(self) -> tuple[Expected | None, str | None]:
        if self.view is not None:
            outcome = self.view.outcome
            came_to = Expected.INDEXED if outcome in INDEXED else Expected(outcome.value) if outcome in _OTHER else None
            return came_to, self.view.reason
        if self.job is None:
            return None, None
        if self.job.status is JobStatus.COMPLETED:
            return Expected.INDEXED, None
        return Expected.FAILED, self.job.error.code if self.job.error else None


_OTHER = frozenset({RunOutcome.SKIPPED, RunOutcome.FAILED})

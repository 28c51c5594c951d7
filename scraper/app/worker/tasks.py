"""The scraper's Celery tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.fetching.visiting import Visit, validators_of
from app.core.logic import UNTOLD, execute_links, execute_scrape, execute_upload
from app.worker.callbacks import deliver, deliver_links, read_content
from app.worker.celery_app import app
from ml_shared.contracts.scraping import Render, ScrapePurpose
from ml_shared.names import Queue, RequestMode, Stage, TaskName
from ml_shared.telemetry.attributes import JobStage
from ml_shared.worker.packs import PackTask
from ml_shared.worker.stage import StageOutcome, StageRun
from ml_shared.worker.task import StageTask


@app.task(bind=True, base=StageTask, name=TaskName.SCRAPE_URL.value, stage=Stage.SCRAPING, job_stage=JobStage.SCRAPE)
def scrape_task(
    self: StageTask,
    url: str,
    job_id: str | None = None,
    attempt_id: str | None = None,
    owner: str | None = None,
    as_of: str | None = None,
    submitted_at: str | None = None,
    if_none_match: str | None = None,
    if_modified_since: str | None = None,
    purpose: str = ScrapePurpose.PAGE.value,
    render: str = Render.NEVER.value,
    content_ref: str | None = None,
    upload_type: str | None = None,
) -> None:
    """Scrape one page, read a list of pages, or read what was uploaded under `content_ref`.

    `owner` is whose page it is; `as_of` and `submitted_at` are what every stage is sent.
    """

    async def body(run: StageRun) -> StageOutcome:
        validators = validators_of(if_none_match, if_modified_since)
        visit = Visit(
            *(url, job_id, RequestMode.ASYNC, Queue.SCRAPER.value),
            owner=owner or "",
            validators=validators,
            render=Render(render),
        )
        if content_ref is not None:
            uploaded = await read_content(run, content_ref)
            result = await execute_upload(run.resources.scraper, visit, uploaded, upload_type or UNTOLD)
            return await deliver(run, result)
        try:
            if purpose == ScrapePurpose.LINKS:
                return await deliver_links(run, await execute_links(run.resources.scraper, visit))
            return await deliver(run, await execute_scrape(run.resources.scraper, visit))
        finally:
            run.host_next_at = visit.host_next_at

    self.run_stage(body, job_id=job_id, attempt_id=attempt_id, url=url)


@app.task(bind=True, base=PackTask, name=TaskName.SCRAPE_SEVERAL.value, of=scrape_task)
def scrape_several_task(self: PackTask, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Scrape what several hand-outs ask for."""
    self.run_pack(jobs)

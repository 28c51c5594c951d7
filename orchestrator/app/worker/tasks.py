"""The orchestrator's tasks. No state that matters is in a message: any of them may be lost, or come twice."""

import asyncio

from app.worker.celery_app import Resources, app
from ml_shared.names import Stage, TaskName
from ml_shared.worker.task import AsyncTask


@app.task(bind=True, base=AsyncTask, name=TaskName.DISPATCH.value)
def dispatch(self: AsyncTask, *stages: str) -> None:
    """Make a pass of each stage: what beat asks for, whether anybody stands watch or not."""

    async def body(resources: Resources) -> None:
        passes = await asyncio.gather(*(resources.orchestrator_core.dispatch(Stage(stage)) for stage in stages))
        await resources.nudger.nudge(*frozenset[Stage]().union(*(done.nudge for done in passes)))

    self.run_async(body)


@app.task(bind=True, base=AsyncTask, name=TaskName.RECOVER_JOBS.value)
def recover_jobs(self: AsyncTask) -> None:
    """Take back leases that ran out."""

    async def body(resources: Resources) -> None:
        await resources.nudger.nudge(*await resources.orchestrator_core.recover())

    self.run_async(body)


@app.task(bind=True, base=AsyncTask, name=TaskName.CRAWL.value)
def crawl(self: AsyncTask) -> None:
    """Make a pass of every run, and begin those that are due: what beat asks for, whether anybody stands watch or not."""

    async def body(resources: Resources) -> None:
        await resources.nudger.nudge(*await resources.orchestrator_core.crawling.go_on())

    self.run_async(body)


@app.task(bind=True, base=AsyncTask, name=TaskName.PURGE.value)
def purge(self: AsyncTask) -> None:
    """Forget what nobody needs any more."""

    async def body(resources: Resources) -> None:
        await resources.orchestrator_core.purge()

    self.run_async(body)

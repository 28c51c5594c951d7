"""The orchestrator's tasks. No state that matters is in a message: any of them may be lost, or come twice."""

from app.config import settings
from app.core.dispatch.pipeline import PIPELINE
from app.worker.celery_app import Resources, app
from ml_shared.names import Stage, TaskName
from ml_shared.worker.task import AsyncTask


@app.task(bind=True, base=AsyncTask, name=TaskName.DISPATCH.value)
def dispatch(self: AsyncTask, stage: str) -> None:
    """Make a pass of a stage."""

    async def body(resources: Resources) -> None:
        wanted = Stage(stage)
        await resources.nudger.taken(wanted)
        done = await resources.orchestrator_core.dispatch(wanted)
        for following in done.nudge:
            await resources.nudger.nudge(following)
        if any(definition.by_host and definition.stage is wanted for definition in PIPELINE):
            await _come_back(resources, wanted)

    self.run_async(body)


async def _come_back(resources: Resources, stage: Stage) -> None:
    """Ask for the next pass when the next host may be asked, if that is before beat's."""
    seconds = await resources.orchestrator_core.seconds_to_next_lane()
    if seconds is not None and seconds < settings.DISPATCH_INTERVAL_SECONDS:
        await resources.nudger.nudge(stage, delay_seconds=max(seconds, 0.02))


@app.task(bind=True, base=AsyncTask, name=TaskName.RECOVER_JOBS.value)
def recover_jobs(self: AsyncTask) -> None:
    """Take back leases that ran out."""

    async def body(resources: Resources) -> None:
        for stage in await resources.orchestrator_core.recover():
            await resources.nudger.nudge(stage)

    self.run_async(body)


@app.task(bind=True, base=AsyncTask, name=TaskName.PURGE.value)
def purge(self: AsyncTask) -> None:
    """Forget what nobody needs any more."""

    async def body(resources: Resources) -> None:
        await resources.orchestrator_core.purge()

    self.run_async(body)

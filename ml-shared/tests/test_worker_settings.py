"""What the specification sets on its Celery app, as it has to be for a task to survive; each trap by its name."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from celery.backends.base import DisabledBackend
from celery.beat import PersistentScheduler, Scheduler
from kombu.utils.imports import symbol_by_name

from ml_shared.names import Queue
from ml_shared.settings import ServiceSettings
from ml_shared.worker.celery import WorkerApp, build_celery_app
from ml_shared.worker.outcomes import RETRY_MAX_SECONDS
from ml_shared.worker.task import MAX_RETRIES, AsyncTask, StageTask

URL = "redis://127.0.0.1:1/0"


def _build(redis_url: str | None = URL, queue: Queue = Queue.SCRAPER, **more: Any) -> WorkerApp:
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url
    )
    return build_celery_app(
        settings, queue=queue, include=["app.worker.tasks"], resources=contextlib.nullcontext, **more
    )


@pytest.fixture
def app() -> Iterator[WorkerApp]:
    built = _build(soft_time_limit_seconds=50, time_limit_seconds=60)
    yield built
    built.close()


def test_a_task_survives_its_worker(app: WorkerApp) -> None:
    """As specified: taken off the queue when it has ended, queued again when its child is killed, fetched one by one."""
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_trap_a_task_that_failed_or_ran_too_long_is_not_delivered_again(app: WorkerApp) -> None:
    """Its end has been told by then; `reject` here would loop."""
    assert app.conf.task_acks_on_failure_or_timeout


def test_trap_visibility_timeout_equal_to_the_hard_limit_runs_a_task_twice(app: WorkerApp) -> None:
    """It counts from the delivery, and a delayed retry is delivered at once: wait, then a slot, then the run."""
    assert (app.conf.task_soft_time_limit, app.conf.task_time_limit) == (50, 60)
    assert app.conf.broker_transport_options["visibility_timeout"] > 60 + RETRY_MAX_SECONDS


def test_trap_page_content_as_a_celery_result_fills_the_broker(app: WorkerApp) -> None:
    """The specification's result backend is left out: outcomes are callbacks, or `GET /results/{task_id}`."""
    assert isinstance(app.backend, DisabledBackend)
    assert app.conf.task_ignore_result
    assert not app.conf.task_store_errors_even_if_ignored


def test_messages_are_json_and_nothing_else(app: WorkerApp) -> None:
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")
    assert app.conf.accept_content == ["json"]


@pytest.mark.parametrize("queue", list(Queue))
def test_trap_a_queue_where_nobody_listens(queue: Queue) -> None:
    """The default queue is that of the Compose command's `-Q`, not the service's name."""
    app = _build(queue=queue)
    assert app.conf.task_default_queue == str(queue)
    assert app.amqp.router.route({}, "any.task")["queue"].name == str(queue)
    app.close()


def test_the_queues_are_those_of_the_compose_commands() -> None:
    assert {str(queue) for queue in Queue} == {"orchestration", "scraper", "embed_jobs"}


def test_trap_an_async_body_that_celery_never_awaits(app: WorkerApp) -> None:
    """Every task is of the class that runs coroutines on the child's loop, also one that names no base."""

    @app.task(name="probe.bare")
    def bare() -> None:
        """Never run."""

    assert isinstance(bare, AsyncTask)


def test_trap_waiting_in_celery(app: WorkerApp) -> None:
    """Retries as specified (three, five minutes at most), only of tasks without a job."""
    assert (MAX_RETRIES, RETRY_MAX_SECONDS) == (3, 300)
    assert StageTask.max_retries == MAX_RETRIES
    assert not hasattr(StageTask, "autoretry_for")


def test_trap_a_worker_that_gives_up_or_forgets_when_its_redis_restarts(app: WorkerApp) -> None:
    assert app.conf.broker_connection_retry_on_startup
    assert app.conf.broker_connection_max_retries is None
    assert not app.conf.worker_cancel_long_running_tasks_on_connection_loss


def test_trap_a_socket_timeout_below_the_blocking_read(app: WorkerApp) -> None:
    assert app.conf.broker_transport_options["socket_timeout"] > 1
    assert app.conf.task_publish_retry_policy["max_retries"] <= 3


def test_a_stop_is_soft_within_the_ten_seconds_that_a_container_gets(app: WorkerApp) -> None:
    assert 0 < app.conf.worker_soft_shutdown_timeout <= 4


def test_trap_logging_that_celery_takes_over(app: WorkerApp) -> None:
    assert not app.conf.worker_hijack_root_logger
    assert not app.conf.worker_redirect_stdouts


def test_beat_keeps_no_file(app: WorkerApp) -> None:
    scheduler = symbol_by_name(app.conf.beat_scheduler)
    assert issubclass(scheduler, Scheduler)
    assert not issubclass(scheduler, PersistentScheduler)
    assert app.conf.timezone == "UTC"


def test_a_worker_needs_a_broker_and_limits_in_order() -> None:
    with pytest.raises(ValueError, match="REDIS_URL"):
        _build(None)
    with pytest.raises(ValueError, match="limit"):
        _build(soft_time_limit_seconds=10, time_limit_seconds=10)

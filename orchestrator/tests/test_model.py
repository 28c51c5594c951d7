"""Sequences of whatever may happen to jobs, drawn at random: the laws hold after each step, and everything ends.

`make test-model` draws 2,000 sequences of 60 steps, and looks for each of the planted faults.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import JobsMachine
from plants import PLANTS, SOON_FOUND, InFunction

from app.core.database import open_databases
from app.core.dispatch import claims
from app.core.dispatch.pipeline import PIPELINE

SEQUENCES: Final = int(os.environ.get("MODEL_SEQUENCES", "250"))
STEPS: Final = int(os.environ.get("MODEL_STEPS", "40"))
SOUGHT: Final = PLANTS if "MODEL_SEQUENCES" in os.environ else SOON_FOUND
SEEDS: Final = range(1, 41)
SEQUENCES_OF_A_SEED: Final = 100


@pytest.fixture
def machine(own_databases: tuple[str, str]) -> Iterator[type[JobsMachine]]:
    """A machine on databases of its own."""
    opened = open_databases(*own_databases, max_size=4)

    async def open_pool() -> Any:
        pool, _ = await opened.__aenter__()
        async with pool.acquire() as connection:
            await claims.ensure_stages(connection, [definition.stage for definition in PIPELINE])
        return pool

    with asyncio.Runner() as runner:
        pool = runner.run(open_pool())
        yield type("Machine", (JobsMachine,), {"runner": runner, "pool": pool, "broken": []})
        runner.run(opened.__aexit__(None, None, None))


def explore(machine: type[JobsMachine], sequences: int, steps: int, phases: Sequence[Phase]) -> None:
    """Draw sequences and run them."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(7200)
def test_whatever_happens_the_laws_hold_and_every_job_ends(machine: type[JobsMachine]) -> None:
    explore(machine, SEQUENCES, STEPS, [Phase.generate, Phase.shrink])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SOUGHT)
def test_a_planted_fault_is_found(machine: type[JobsMachine], name: str) -> None:
    plant = PLANTS[name]
    if isinstance(plant, InFunction):
        machine.runner.run(plant.plant(machine.pool))
    with nullcontext() if isinstance(plant, InFunction) else plant.planted():
        for number in SEEDS:
            with suppress(Exception):  # a fault may also show as what nobody foresaw; the laws are what is to find it
                explore(seed(number)(machine), SEQUENCES_OF_A_SEED, STEPS, [Phase.generate])
            if machine.broken:
                print(f"\n{name}\n    seed {number}: not so any more: {machine.broken[0]}")
                return
    pytest.fail("not found")

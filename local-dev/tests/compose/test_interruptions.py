"""Each stack in turn is restarted, then killed and brought up again, with jobs in every stage: none is lost."""

import time

import pytest
from compose_client import PatientCaller
from compose_fleet import ComposeFleet
from compose_jobs import assert_none_lost, jobs_in_flight
from stacks.plan import STACKS


@pytest.mark.parametrize("name", STACKS)
def test_a_restart_of_a_stack_loses_no_job(fleet: ComposeFleet, caller: PatientCaller, name: str) -> None:
    corpus = f"restarted-{name}"
    with jobs_in_flight(fleet, caller, corpus) as ids:
        began = time.monotonic()
        fleet[name].compose("restart")
        took = time.monotonic() - began
    assert_none_lost(fleet, caller, corpus, ids)
    fleet.say(f"restart of {name}: {took:.0f} s, all jobs done after {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_that_is_killed_and_comes_up_again_loses_no_job(
    fleet: ComposeFleet, caller: PatientCaller, name: str
) -> None:
    corpus = f"killed-{name}"
    with jobs_in_flight(fleet, caller, corpus) as ids:
        began = time.monotonic()
        fleet[name].compose("kill")
        # what it was doing goes on without it, and ends
        fleet.outside.web.let_go()
        fleet.outside.proxy.open.set()
        fleet[name].up()
        took = time.monotonic() - began
    assert_none_lost(fleet, caller, corpus, ids)
    fleet.say(f"kill and up of {name}: {took:.0f} s, all jobs done after {time.monotonic() - began:.0f} s")

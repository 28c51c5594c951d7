"""A process that checks keys when it is told to, on a clock that is moved from outside: JSON lines in, JSON lines out.

    python auth_process.py REDIS_URL MEMBERSHIP_URL UPTIME_SECONDS

`{"now": seconds}` sets the clock, `{"key": key}` checks a key, `{"metrics": name}` reads a metric of all processes.
"""

import asyncio
import json
import os
import sys
from typing import Any

from guarded_app import settings_for

from ml_shared.auth import cache, membership
from ml_shared.auth.cache import Clock
from ml_shared.auth.membership import Authenticator
from ml_shared.errors import ServiceError
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry.metrics import render_metrics

cache.REDIS_TIMEOUT_SECONDS = 30.0  # type: ignore[misc]
membership.MEMBERSHIP_TIMEOUT_SECONDS = 30.0  # type: ignore[misc]
# real seconds: a busy machine is no outage here

EPOCH = 1_700_000_000.0


async def main(redis_url: str, membership_url: str, uptime_seconds: float) -> None:
    now = 0.0
    # the wall clock is everybody's, the monotonic one of each machine counts from a start of its own
    clock = Clock(monotonic=lambda: uptime_seconds + now, wall=lambda: EPOCH + now)
    async with open_redis(redis_url, timeout_seconds=30) as redis:
        async with Authenticator.open(settings_for(membership_url), redis, clock=clock) as authenticator:
            tell({"ready": os.getpid()})
            checks = set()
            while line := await asyncio.to_thread(sys.stdin.readline):
                told = json.loads(line)
                if "now" in told:
                    now = told["now"]
                    tell(told)
                elif "metrics" in told:
                    values = [
                        line.split()[-1]
                        for line in render_metrics().decode().splitlines()
                        if line.startswith(told["metrics"])
                    ]
                    tell({"values": [float(value) for value in values]})
                else:
                    checks.add(asyncio.create_task(check(authenticator, told["key"])))


async def check(authenticator: Authenticator, key: str) -> None:
    try:
        ctx = await authenticator.identify(key, "")
    except ServiceError as error:
        tell({"outcome": error.code})
    else:
        tell({"outcome": ctx.caller_type})


def tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))

"""Many queued jobs at once: by set-based SQL, since what is measured is what there is to do with them, not their coming.

The triggers that write events are off meanwhile: an event a job would be as much again to write, and no pass reads them.
"""

from typing import Any, Final

_FILL: Final = """
INSERT INTO jobs (owner, id, url, host, corpus_name, stage, placement, tag)
SELECT 'key:' || n % $2, overlay(gen_random_uuid()::text PLACING left(began, 8) || '-' || right(began, 4) || '-7'
        || lpad(to_hex(n % 4096), 3, '0') FROM 1)::uuid, 'http://h' || host || '.test/' || n, 'h' || host || '.test', 'default',
    'scraping', 'parked', n / $2 + 1
FROM generate_series(1, $1::bigint) n CROSS JOIN LATERAL (SELECT (n * 7919 + n / $2 * 2) % $3 AS host) placed
    CROSS JOIN LATERAL (SELECT lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint + n / 4096), 12, '0') AS began) timed
"""
# ids as the service gives them: those of one time are neighbours
# neither 7919 nor 7921, which it is with one owner, has a divisor in common with a number of hosts that is round: each host
# has about as many jobs, and those of many owners
_OWNERS: Final = """
INSERT INTO owners (owner, last_tag, open_jobs) SELECT owner, max(tag), count(*) FROM jobs GROUP BY owner
"""
_LANES: Final = "INSERT INTO lanes (host, head_tag) SELECT host, min(tag) FROM jobs GROUP BY host"


async def fill(connection: Any, jobs: int, *, owners: int, hosts: int) -> None:
    """Queue jobs in an empty database, and have it know its tables' sizes as autovacuum would.

    Parameters
    ----------
    owners, hosts
        Who have these jobs, and where their pages are, each alike many.
    """
    async with connection.transaction():
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER USER")
        await connection.execute(_FILL, jobs, owners, hosts)
        await connection.execute(_OWNERS)
        await connection.execute(_LANES)
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER USER")
    await connection.execute("VACUUM ANALYZE")

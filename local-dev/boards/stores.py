"""Redis and Postgres, and the machines that they run on."""

from boards.model import Board, Panel, Query, Row
from boards.queries import latest, rate, total

BOARD = Board(
    "ml-stores",
    "Redis and Postgres",
    [
        Row(
            "Redis",
            [
                Panel(
                    "Memory, of its limit",
                    [
                        Query(
                            "max by (instance) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))", "{{instance}}"
                        )
                    ],
                    "percentunit",
                    "A full Redis refuses writes; nothing in it is evicted.",
                    width=6,
                    red_above=0.85,
                ),
                Panel("Commands", [rate("redis_commands_processed_total", "instance")], "ops", width=6),
                Panel("Clients", [latest("redis_connected_clients", "instance")], width=6),
                Panel("Refused connections", [rate("redis_rejected_connections_total", "instance")], "ops", width=6),
                Panel(
                    "The services' connections",
                    [total("ml_redis_pool_connections", "job", "state"), total("ml_redis_pool_connections_max", "job")],
                    width=6,
                ),
                Panel("Up", [latest("redis_up", "instance")], width=6),
            ],
        ),
        Row(
            "PostgreSQL",
            [
                Panel("Transactions", [rate("pg_stat_database_xact_commit", "instance", "datname")], "ops", width=6),
                Panel("Rolled back", [rate("pg_stat_database_xact_rollback", "instance", "datname")], "ops", width=6),
                Panel("Connections", [latest("pg_stat_database_numbackends", "instance", "datname")], width=6),
                Panel("Size", [latest("pg_database_size_bytes", "instance", "datname")], "bytes", width=6),
                Panel("Locks", [latest("pg_locks_count", "instance", "datname", "mode")], width=6),
                Panel(
                    "The services' pools",
                    [
                        total("ml_postgres_pool_connections", "job", "database", "state"),
                        total("ml_postgres_pool_connections_max", "job", "database"),
                    ],
                    width=6,
                ),
                Panel("Up", [latest("pg_up", "instance")], width=6),
            ],
        ),
        Row(
            "Machines",
            [
                Panel("Load", [latest("node_load1", "instance")], width=6),
                Panel(
                    "Memory left",
                    [
                        Query(
                            "min by (instance) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
                            "{{instance}}",
                        )
                    ],
                    "percentunit",
                    width=6,
                ),
                Panel(
                    "Disk left",
                    [
                        Query(
                            'min by (instance, mountpoint) (node_filesystem_avail_bytes{fstype!="tmpfs"} / node_filesystem_size_bytes{fstype!="tmpfs"})',
                            "{{instance}} {{mountpoint}}",
                        )
                    ],
                    "percentunit",
                    width=6,
                ),
                Panel(
                    "Alloy's memory",
                    [latest("alloy_resources_process_resident_memory_bytes", "instance")],
                    "bytes",
                    width=6,
                ),
            ],
        ),
    ],
)

"""Fleet: the golden signals of every service, and what the services share."""

from boards.model import Board, Panel, Query, Row
from boards.queries import failed_share, latest, quantile, quantiles, rate, total

SERVICES = "orchestrator|scraper|chunking|embedding"

BOARD = Board(
    "ml-fleet",
    "Fleet",
    [
        Row(
            "Golden signals, by service",
            [
                Panel("Requests", [rate("ml_http_requests_total", "service")], "reqps", width=6),
                Panel(
                    "Answers with 5xx",
                    [failed_share("ml_http_requests_total", 'status="5xx"', "service")],
                    "percentunit",
                    "The share of requests that failed for a reason of ours.",
                    width=6,
                    red_above=0.001,
                ),
                Panel("Latency", quantiles("ml_http_request_duration_seconds", "service"), "s", width=6),
                Panel(
                    "Queues, of their limit",
                    [Query("max by (service, queue) (ml_queue_depth / ml_queue_limit)", "{{service}} {{queue}}")],
                    "percentunit",
                    "At 100 % a service answers 503 and the orchestrator waits.",
                    width=6,
                    red_above=0.8,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                Panel("By status", [rate("ml_http_requests_total", "service", "status")], "reqps"),
                Panel(
                    "By route, sync and async",
                    [rate("ml_http_requests_total", "service", "route", "request_mode", "operation")],
                    "reqps",
                ),
                Panel(
                    "p95 by route",
                    [
                        quantile(0.95, "ml_http_request_duration_seconds", "service", "route"),
                        Query(
                            "histogram_quantile(0.95, sum by (le, service) "
                            '(rate(traces_spanmetrics_latency_bucket{span_kind="SPAN_KIND_SERVER"}[$__rate_interval])))',
                            "from spans: {{service}}",
                            exemplars=True,
                        ),
                    ],
                    "s",
                    "The dots are traces: click one.",
                ),
            ],
        ),
        Row(
            "Tasks and queues",
            [
                Panel("Tasks ended", [rate("ml_task_outcomes_total", "task", "outcome")], "ops", width=6),
                Panel("Task duration", [quantile(0.95, "ml_task_duration_seconds", "task")], "s", width=6),
                Panel("Tasks in queues", [latest("ml_queue_depth", "queue")], width=6),
                Panel("Oldest task in a queue", [latest("ml_queue_oldest_age_seconds", "queue")], "s", width=6),
                Panel(
                    "Not taken in", [rate("ml_queue_rejections_total", "service", "queue", "reason")], "ops", width=6
                ),
                Panel(
                    "Reports to the orchestrator",
                    [rate("ml_callback_outcomes_total", "report", "outcome")],
                    "ops",
                    width=6,
                ),
                Panel("Limits of the queues", [latest("ml_queue_limit", "queue")], width=6),
                Panel(
                    "Broken rules of the audit trail",
                    [total("ml_audit_violations_total", "job", "rule")],
                    about="Lines that were written all the same. Each is a defect.",
                    width=6,
                    red_above=0.5,
                ),
            ],
        ),
        Row(
            "Callers",
            [
                Panel(
                    "Rate limits, by what decided",
                    [rate("ml_ratelimit_decisions_total", "job", "policy", "outcome")],
                    "ops",
                    width=6,
                ),
                Panel(
                    "Where the windows were kept",
                    [rate("ml_ratelimit_decisions_total", "job", "store")],
                    "ops",
                    width=6,
                ),
                Panel("Keys looked at", [rate("ml_auth_checks_total", "job", "outcome")], "ops", width=6),
                Panel("Calls to Membership", quantiles("ml_auth_membership_duration_seconds", "outcome"), "s", width=6),
                Panel(
                    "Breaker before Membership",
                    [latest("ml_auth_breaker_state", "job")],
                    about="0 closed, 1 half open, 2 open.",
                    width=6,
                    red_above=1.5,
                ),
                Panel(
                    "Processes that answer a scrape",
                    [Query("sum by (job) (up)", "{{job}}")],
                    about="Each API and worker is one.",
                    width=6,
                ),
                Panel(
                    "What exporters reach",
                    [
                        Query("min by (instance) (redis_up)", "Redis of {{instance}}"),
                        Query("min by (instance) (pg_up)", "PostgreSQL of {{instance}}"),
                        Query("min by (instance) (nginx_up)", "nginx of {{instance}}"),
                        Query("min by (instance) (probe_success)", "certificate of {{instance}}"),
                    ],
                    about="0 where what an exporter looks at does not answer. Without TLS no certificate is looked for.",
                    width=6,
                ),
                Panel(
                    "Places that callers share",
                    [
                        total("ml_places_held", "job", "place"),
                        total("ml_places_waiting", "job", "place"),
                        total("ml_places_limit", "job", "place"),
                    ],
                    about="Connections, calls, processes, pages: one caller has a share of each.",
                    width=6,
                ),
                Panel("Who got no place", [rate("ml_places_refused_total", "job", "place", "reason")], "ops", width=6),
            ],
        ),
        Row(
            "Errors in the logs",
            [
                Panel(
                    "Lines",
                    [Query(f'{{service=~"{SERVICES}", level=~"ERROR|CRITICAL"}} | json')],
                    kind="logs",
                    width=24,
                    height=10,
                )
            ],
        ),
    ],
)

"""Gateway: what clients see, from nginx's access log and its own counters."""

from boards.model import Board, Panel, Query, Row
from boards.queries import failed_share, latest, quantiles, rate

BOARD = Board(
    "ml-gateway",
    "Gateway",
    [
        Row(
            "Requests, from the access log",
            [
                Panel("By route", [rate("ml_gateway_requests_total", "route")], "reqps", width=6),
                Panel("By status", [rate("ml_gateway_requests_total", "route", "status")], "reqps", width=6),
                Panel("Latency", quantiles("ml_gateway_request_duration_seconds", "route"), "s", width=6),
                Panel("Refused by a limit", [rate("ml_gateway_limited_total", "route")], "reqps", width=6),
                Panel("By method", [rate("ml_gateway_requests_total", "method")], "reqps", width=6),
                Panel(
                    "Answers with 5xx",
                    [failed_share("ml_gateway_requests_total", 'status="5xx"', "route")],
                    "percentunit",
                    width=6,
                    red_above=0.001,
                ),
                Panel(
                    "Certificate expires in",
                    [Query('min(probe_ssl_earliest_cert_expiry{job="certificate"}) - time()', "the earliest")],
                    "s",
                    "Empty without TLS.",
                    "stat",
                    width=6,
                ),
            ],
        ),
        Row(
            "nginx",
            [
                Panel(
                    "Connections",
                    [
                        latest("nginx_connections_active"),
                        latest("nginx_connections_reading"),
                        latest("nginx_connections_writing"),
                        latest("nginx_connections_waiting"),
                    ],
                ),
                Panel(
                    "Accepted and handled",
                    [rate("nginx_connections_accepted"), rate("nginx_connections_handled")],
                    "cps",
                ),
                Panel("Requests", [rate("nginx_http_requests_total")], "reqps"),
            ],
        ),
        Row(
            "Logs",
            [
                Panel(
                    "Refusals and failures",
                    [Query('{service="nginx", log="access"} | status >= 429')],
                    kind="logs",
                    width=12,
                    height=10,
                ),
                Panel("Error log", [Query('{service="nginx", log="error"}')], kind="logs", width=12, height=10),
            ],
        ),
    ],
)

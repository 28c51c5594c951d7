"""SLO: what is promised, how much of the error budget is left, and how fast it burns."""

from boards.model import Board, Panel, Query, Row
from boards.queries import quantile, quantiles

AVAILABILITY = 0.999
OURS_ALONE = 'route!~"/scrape|/map"'
# the scraper's direct routes answer with 502 and 504 for a site that their caller names
SEARCHABLE_SECONDS = 300
SEARCHABLE_SHARE = 0.95


def burn(window: str) -> str:
    """Return how many times faster than allowed the error budget is spent, over a window."""
    every = f"sum(rate(ml_http_requests_total{{{OURS_ALONE}}}[{window}]))"
    wrong = f'(sum(rate(ml_http_requests_total{{status="5xx",{OURS_ALONE}}}[{window}])) or 0 * {every})'
    return f"{wrong} / {every} / {1 - AVAILABILITY:g}"


def searchable_in_time(window: str) -> str:
    """Return the share of completed jobs that were searchable in time, over a window."""
    within = f'sum(rate(ml_jobs_searchable_seconds_bucket{{le="{SEARCHABLE_SECONDS}.0"}}[{window}]))'
    return f"{within} / sum(rate(ml_jobs_searchable_seconds_count[{window}]))"


BOARD = Board(
    "ml-objectives",
    "SLO",
    [
        Row(
            f"Availability: {AVAILABILITY:.1%} of requests are not answered with 5xx",
            [
                Panel(
                    "Error budget left, of the range shown",
                    [Query(f"1 - ({burn('$__range')})", "left")],
                    "percentunit",
                    kind="stat",
                ),
                Panel(
                    "Burn rate",
                    [Query(burn(window), window) for window in ("5m", "1h", "6h")],
                    about="1 spends the budget of 30 days in 30 days. Above 14.4 somebody is paged, above 6 a ticket is due.",
                    red_above=14.4,
                ),
                Panel(
                    "Latency of searches",
                    [quantile(0.95, "ml_http_request_duration_seconds", "route", where='route="/search"')],
                    "s",
                ),
            ],
        ),
        Row(
            f"Freshness: {SEARCHABLE_SHARE:.0%} of completed jobs are searchable within {SEARCHABLE_SECONDS // 60} minutes",
            [
                Panel(
                    "In time, of the range shown",
                    [Query(searchable_in_time("$__range"), "in time")],
                    "percentunit",
                    kind="stat",
                ),
                Panel("In time", [Query(searchable_in_time("1h"), "1h")], "percentunit"),
                Panel(
                    "Submit to searchable", quantiles("ml_jobs_searchable_seconds"), "s", red_above=SEARCHABLE_SECONDS
                ),
            ],
        ),
    ],
)

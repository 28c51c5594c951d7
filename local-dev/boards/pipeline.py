"""Pipeline: where the jobs are, how long each stage takes, what they wait for, and whether everybody gets a turn."""

from boards.model import Board, Panel, Query, Row
from boards.queries import latest, quantile, quantiles, rate, total

BOARD = Board(
    "ml-pipeline",
    "Pipeline",
    [
        Row(
            "Jobs",
            [
                Panel("Open jobs, by state", [latest("ml_jobs_state", "status")], width=6),
                Panel(
                    "Submitted and ended",
                    [
                        Query("sum (rate(ml_jobs_submitted_total[$__rate_interval]))", "submitted"),
                        rate("ml_jobs_ended_total", "status"),
                    ],
                    "ops",
                    width=6,
                ),
                Panel("Submit to searchable", quantiles("ml_jobs_searchable_seconds"), "s", width=6, red_above=300),
                Panel(
                    "Oldest queued job",
                    [latest("ml_jobs_oldest_queued_age_seconds")],
                    "s",
                    width=6,
                    red_above=1800,
                ),
            ],
        ),
        Row(
            "Looking again",
            [
                Panel("Documents, by what became of them", [rate("ml_jobs_outcomes_total", "outcome")], "ops"),
                Panel(
                    "Bytes not fetched",
                    [rate("ml_jobs_saved_bytes_total")],
                    "Bps",
                    "Sites said that their pages are as they were.",
                ),
                Panel(
                    "Chunks not embedded",
                    [rate("ml_jobs_saved_chunks_total")],
                    "ops",
                    "What they say was in the corpus already.",
                ),
            ],
        ),
        Row(
            "Waiting, and fairness",
            [
                Panel("Waiting, by reason", [latest("ml_jobs_waiting", "reason")]),
                Panel("Owners with jobs waiting", [latest("ml_jobs_owners_waiting")]),
                Panel(
                    "The largest owner's share of what is in flight",
                    [latest("ml_jobs_largest_owner_ratio")],
                    "percentunit",
                    "With one owner it is 100 %. With many it is near their equal share, however much one has submitted.",
                ),
            ],
        ),
        Row(
            "Crawls",
            [
                Panel("Pages, by what became of them", [rate("ml_crawl_pages_total", "outcome")], "ops", width=6),
                Panel("Runs that ended, by how", [rate("ml_crawl_runs_ended_total", "state")], "ops", width=6),
                Panel(
                    "Runs under way, and pages that wait to be asked for",
                    [latest("ml_crawl_runs_open"), latest("ml_crawl_frontier_pages")],
                    width=6,
                ),
                Panel(
                    "Held deletions, and how late schedules are",
                    [latest("ml_crawl_runs_held_open"), latest("ml_crawl_schedule_late_seconds")],
                    about="A held deletion waits for its owner to confirm it. A schedule is late while nobody makes passes.",
                    width=6,
                ),
                Panel("Due runs, begun or missed", [rate("ml_crawl_runs_due_total", "outcome")], "ops", width=6),
                Panel("Runs that were held", [rate("ml_crawl_runs_held_total")], "ops", width=6),
            ],
        ),
        Row(
            "Stages",
            [
                Panel("Duration", quantiles("ml_jobs_stage_duration_seconds", "stage"), "s", width=6),
                Panel(
                    "Ended, by how", [rate("ml_jobs_stage_duration_seconds_count", "stage", "outcome")], "ops", width=6
                ),
                Panel("Attempts", [quantile(0.95, "ml_jobs_stage_attempts", "stage")], width=6),
                Panel("Failures, by code", [rate("ml_jobs_failed_total", "stage", "code")], "ops", width=6),
                Panel(
                    "Handed out, by answer", [rate("ml_dispatch_hand_outs_total", "stage", "outcome")], "ops", width=6
                ),
                Panel("Leases that ran out", [rate("ml_jobs_leases_expired_total", "stage", "phase")], "ops", width=6),
                Panel(
                    "Paused stages",
                    [latest("ml_dispatch_stage_paused", "stage"), rate("ml_dispatch_stage_pauses_total", "stage")],
                    about="1 while a stage that can't be used gets no work; below it how often that begins.",
                    width=6,
                    red_above=0.5,
                ),
                Panel(
                    "Looks for lost jobs",
                    [rate("ml_task_outcomes_total", "outcome", where='task="orchestrator.recover_jobs"')],
                    "ops",
                    "What beat asks for every few seconds: none at all means that beat is down.",
                    width=6,
                ),
                Panel(
                    "Passes that found too much behind",
                    [rate("ml_dispatch_high_water_passes_total", "stage")],
                    "ops",
                    width=6,
                ),
            ],
        ),
        Row(
            "Streams of events",
            [
                Panel("Open", [total("ml_event_streams_open", "kind")], width=12),
                Panel(
                    "Cut off",
                    [rate("ml_event_streams_cut_total", "kind")],
                    "ops",
                    "Of clients that took nothing for ten seconds.",
                    width=12,
                ),
            ],
        ),
        Row(
            "Webhooks",
            [
                Panel("Attempts, by outcome", [rate("ml_webhooks_deliveries_total", "outcome")], "ops", width=8),
                Panel("Until receivers answer", quantiles("ml_webhooks_delivery_duration_seconds"), "s", width=8),
                Panel(
                    "Paused",
                    [rate("ml_webhooks_paused_total")],
                    "ops",
                    "Webhooks where nothing arrived for a day. Their owners see the reason at `GET /webhooks`.",
                    width=8,
                ),
            ],
        ),
        Row(
            "Scraping",
            [
                Panel("Pages, by outcome", [rate("ml_scrape_pages_total", "outcome", "request_mode")], "ops", width=6),
                Panel("Fetching", quantiles("ml_scrape_fetch_duration_seconds", "request_mode"), "s", width=6),
                Panel("Extracting", quantiles("ml_scrape_extract_duration_seconds", "request_mode"), "s", width=6),
                Panel("Page size", quantiles("ml_scrape_page_bytes"), "bytes", width=6),
                Panel("Bytes fetched", [rate("ml_scrape_bytes_total", "request_mode")], "Bps", width=6),
                Panel(
                    "Rendered pages, by outcome",
                    [rate("ml_scrape_renders_total", "outcome", "request_mode")],
                    "ops",
                    width=6,
                ),
                Panel("Rendering", quantiles("ml_scrape_render_duration_seconds", "request_mode"), "s", width=6),
                Panel(
                    "Requests of rendered pages", [rate("ml_scrape_render_requests_total", "outcome")], "ops", width=6
                ),
                Panel("Denied by robots.txt", [rate("ml_scrape_robots_denials_total", "request_mode")], "ops", width=6),
            ],
        ),
        Row(
            "Chunking",
            [
                Panel("Texts, by outcome", [rate("ml_chunk_texts_total", "outcome", "request_mode")], "ops", width=6),
                Panel("Chunks", [rate("ml_chunk_chunks_total", "request_mode")], "ops", width=6),
                Panel("Tokens", [rate("ml_chunk_tokens_total", "request_mode")], "ops", width=6),
                Panel("Cutting", quantiles("ml_chunk_duration_seconds", "request_mode"), "s", width=6),
            ],
        ),
    ],
)

"""Series of programs that are not ours, which boards and alerts ask for. The end-to-end test sees those of exporters."""

SCRAPE_LABELS = {"job", "process", "instance", "vm"}
EXPORTED = {
    "up",
    # nginx-prometheus-exporter
    *(
        "nginx_up",
        "nginx_connections_active",
        "nginx_connections_reading",
        "nginx_connections_writing",
        "nginx_connections_waiting",
    ),
    *("nginx_connections_accepted", "nginx_connections_handled", "nginx_http_requests_total"),
    # redis_exporter
    *("redis_up", "redis_memory_used_bytes", "redis_memory_max_bytes", "redis_commands_processed_total"),
    *("redis_connected_clients", "redis_rejected_connections_total"),
    # postgres_exporter
    *("pg_up", "pg_stat_database_xact_commit", "pg_stat_database_xact_rollback", "pg_stat_database_numbackends"),
    *("pg_database_size_bytes", "pg_locks_count"),
    # node_exporter
    *("node_load1", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"),
    *("node_filesystem_avail_bytes", "node_filesystem_size_bytes"),
    # blackbox_exporter
    *("probe_success", "probe_ssl_earliest_cert_expiry"),
    # Alloy's own, and what Tempo makes of spans: neither can run in a test
    *("alloy_resources_process_resident_memory_bytes", "traces_spanmetrics_latency_bucket"),
}
WITHOUT_A_PROGRAM = {"alloy_resources_process_resident_memory_bytes", "traces_spanmetrics_latency_bucket"}
"""Those of the last kind."""

"""What Alloy v1.18.1 documents of the components used here: arguments, blocks, exports. A `!` marks what is required."""

from typing import NamedTuple

from alloy_syntax import Block


class Documented(NamedTuple):
    arguments: str = ""
    blocks: str = ""
    exports: str = ""


_OUTPUT = Documented("metrics logs traces")
_ENDPOINT = "url! name remote_timeout headers bearer_token enable_http2 follow_redirects"
_BACKOFF = "min_backoff_period max_backoff_period max_backoff_retries"
_RULE = Documented("action modulus regex replacement separator source_labels target_label")
_METRIC = "name! description prefix source max_idle_duration value"

COMPONENTS: dict[str, Documented] = {
    "logging": Documented("level format write_to"),
    "otelcol.receiver.otlp": Documented("", "grpc http output! debug_metrics"),
    "otelcol.receiver.otlp/grpc": Documented("endpoint transport max_recv_msg_size max_concurrent_streams"),
    "otelcol.receiver.otlp/output": _OUTPUT,
    "otelcol.processor.memory_limiter": Documented(
        "check_interval! limit spike_limit limit_percentage spike_limit_percentage", "output! debug_metrics", "input"
    ),
    "otelcol.processor.memory_limiter/output": _OUTPUT,
    "otelcol.processor.probabilistic_sampler": Documented(
        "mode hash_seed sampling_percentage sampling_precision fail_closed attribute_source from_attribute "
        "sampling_priority",
        "output! debug_metrics",
        "input",
    ),
    "otelcol.processor.probabilistic_sampler/output": _OUTPUT,
    "otelcol.processor.batch": Documented(
        "timeout send_batch_size send_batch_max_size metadata_keys metadata_cardinality_limit",
        "output! debug_metrics",
        "input",
    ),
    "otelcol.processor.batch/output": _OUTPUT,
    "otelcol.exporter.otlphttp": Documented(
        "metrics_endpoint logs_endpoint traces_endpoint encoding",
        "client! sending_queue retry_on_failure debug_metrics",
        "input",
    ),
    "otelcol.exporter.otlphttp/client": Documented("endpoint! headers timeout compression auth", "tls cookies"),
    "otelcol.exporter.otlphttp/sending_queue": Documented(
        "enabled block_on_overflow num_consumers queue_size sizer storage wait_for_result", "batch"
    ),
    "otelcol.exporter.otlphttp/retry_on_failure": Documented(
        "enabled initial_interval max_elapsed_time max_interval multiplier randomization_factor"
    ),
    "pyroscope.receive_http": Documented("forward_to!", "http"),
    "pyroscope.receive_http/http": Documented("listen_address listen_port conn_limit"),
    "pyroscope.write": Documented("external_labels", "endpoint", "receiver"),
    "pyroscope.write/endpoint": Documented(f"{_ENDPOINT} {_BACKOFF}"),
    "prometheus.scrape": Documented(
        "targets! forward_to! job_name scrape_interval scrape_timeout metrics_path honor_labels scheme params"
    ),
    "prometheus.remote_write": Documented("external_labels", "endpoint wal", "receiver"),
    "prometheus.remote_write/endpoint": Documented(
        f"{_ENDPOINT} send_exemplars send_native_histograms", "queue_config metadata_config write_relabel_config"
    ),
    "prometheus.exporter.redis": Documented(
        "redis_addr! redis_user redis_password redis_password_file connection_timeout check_keys incl_system_metrics",
        "",
        "targets",
    ),
    "prometheus.exporter.postgres": Documented(
        "data_source_names! enabled_collectors disable_default_metrics disable_settings_metrics",
        "autodiscovery",
        "targets",
    ),
    "prometheus.exporter.unix": Documented(
        "procfs_path sysfs_path rootfs_path set_collectors enable_collectors disable_collectors "
        "include_exporter_metrics udev_data_path",
        "filesystem disk netdev",
        "targets",
    ),
    "prometheus.exporter.self": Documented("", "", "targets"),
    "prometheus.exporter.blackbox": Documented("config config_file probe_timeout_offset targets", "target", "targets"),
    "prometheus.exporter.blackbox/target": Documented("name! address! module labels"),
    "discovery.docker": Documented(
        "host! port refresh_interval match_first_network host_networking_host", "filter", "targets"
    ),
    "discovery.docker/filter": Documented("name! values!"),
    "discovery.relabel": Documented("targets!", "rule", "output rules"),
    "discovery.relabel/rule": _RULE,
    "local.file_match": Documented("path_targets! sync_period ignore_older_than", "", "targets"),
    "loki.source.file": Documented("targets! forward_to! encoding tail_from_end", "decompression file_watch"),
    "loki.source.docker": Documented("host! targets! forward_to! labels relabel_rules refresh_interval", "client"),
    "loki.write": Documented("external_labels max_streams", "endpoint wal", "receiver"),
    "loki.write/endpoint": Documented(f"{_ENDPOINT} {_BACKOFF} tenant_id batch_wait batch_size retry_on_http_429"),
    "loki.process": Documented(
        "forward_to!",
        "stage.json stage.labels stage.structured_metadata stage.static_labels stage.label_drop stage.metrics "
        "stage.timestamp stage.regex stage.replace stage.drop",
        "receiver",
    ),
    "loki.process/stage.json": Documented("expressions! source drop_malformed"),
    "loki.process/stage.labels": Documented("values!"),
    "loki.process/stage.structured_metadata": Documented("values"),
    "loki.process/stage.static_labels": Documented("values!"),
    "loki.process/stage.label_drop": Documented("values!"),
    "loki.process/stage.timestamp": Documented("source! format! action_on_failure fallback_formats location"),
    "loki.process/stage.drop": Documented(
        "drop_counter_reason expression longer_than older_than separator source value"
    ),
    "loki.process/stage.regex": Documented("expression! source"),
    "loki.process/stage.replace": Documented("expression! source replace"),
    "loki.process/stage.metrics": Documented("", "metric.counter metric.gauge metric.histogram"),
    "loki.process/stage.metrics/metric.counter": Documented(f"{_METRIC} action! match_all count_entry_bytes"),
    "loki.process/stage.metrics/metric.histogram": Documented(f"{_METRIC} buckets!"),
}


def mistakes(block: Block, path: str = "") -> list[str]:
    """Return what the documentation does not know of a block, or misses in it."""
    name = f"{path}/{block.name}" if path else block.name
    if name not in COMPONENTS:
        return [f"line {block.line}: no component {name}"]
    known = COMPONENTS[name]
    arguments = {word.rstrip("!") for word in known.arguments.split()}
    inner = {word.rstrip("!") for word in known.blocks.split()}
    required = {word[:-1] for word in [*known.arguments.split(), *known.blocks.split()] if word.endswith("!")}
    present = set(block.attributes) | {one.name for one in block.blocks}
    found = [f"line {block.line}: {name} has no {word}" for word in sorted(set(block.attributes) - arguments)]
    found += [f"line {block.line}: {name} needs {word}" for word in sorted(required - present)]
    found += [f"line {one.line}: {name} has no block {one.name}" for one in block.blocks if one.name not in inner]
    return found + [mistake for one in block.blocks if one.name in inner for mistake in mistakes(one, name)]

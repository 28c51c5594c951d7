"""The list of programs that the fleet is made of."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet import databases
from fleet.keys import USER_KEYS, Keys
from fleet.layout import LOCAL_DEV, REPOSITORY, Layout, write_private
from fleet.ports import HOST
from fleet.programs import Program, Tier
from fleet.readiness import accepts, http_ok, postgres_accepts, redis_answers, worker_listens
from fleet.services import Addresses, Overrides, service_settings
from fleet.telemetry import TRACES, wants_sink
from ml_shared.names import Queue, Service
from ml_shared.telemetry.logs import UVICORN_LOG_CONFIG
from ml_shared.testing.binaries import find_nginx
from ml_shared.testing.gateway import local_variables, nginx_command, render_gateway
from ml_shared.testing.postgres_setup import postgres_account, postgres_command
from ml_shared.testing.redis_setup import redis_command, write_redis_config

PREFERRED_GATEWAY_PORT = 18_080
PORTS = (
    *("gateway", "orchestrator", "scraper", "chunking", "embedding", "membership", "endpoint", "demo-site"),
    *("redis-orch", "redis-scrape", "redis-embed", "postgres", "postgres-vectors"),
    TRACES,
    *("orchestrator-worker-metrics", "scraper-worker-metrics", "embedding-worker-metrics"),
)
REDIS_MEMORY = {"redis-orch": "512mb", "redis-scrape": "256mb", "redis-embed": "1gb"}
BROKERS = {Service.ORCHESTRATOR: "redis-orch", Service.SCRAPER: "redis-scrape", Service.EMBEDDING: "redis-embed"}
WORKER_OPTIONS: dict[Service, tuple[Queue, list[str]]] = {
    Service.ORCHESTRATOR: (Queue.ORCHESTRATION, []),
    Service.SCRAPER: (Queue.SCRAPER, ["--concurrency=4", "--max-tasks-per-child=200"]),
    Service.EMBEDDING: (Queue.EMBED_JOBS, ["--concurrency=2", "--max-tasks-per-child=100"]),
}
API_PROCESSES = 1
# of each API: a laptop has one caller. A second one takes 50 MB, and its parent's
ORCHESTRATION_CHILDREN = "1"
# the watch does the work; this one runs what beat asks for. Without it there would be one for each of the machine's cores
API_STOP_SECONDS = 5
# an open request gets this long before the process ends without it
WORKER_HEALTHCHECK_SECONDS = "30"
ARENAS = "2"
# as the images have them
GATEWAY_LOG_BYTES = 10 * 2**20

Compose = Callable[[Layout, Mapping[str, int], Keys, Overrides], list[Program]]


def compose(
    layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides, sink: str | None = None
) -> list[Program]:
    """Return every program of the fleet, and make what they read when they start.

    Parameters
    ----------
    sink
        Where spans go unless the caller's environment says otherwise.
    """
    settings = service_settings(Addresses(ports, keys), overrides, sink)
    return [
        *_redis(layout, ports, keys),
        *_postgres(layout, ports, keys),
        *_standins(layout, ports, keys, overrides),
        *_migrations(settings),
        *_renderer(settings[Service.SCRAPER]),
        *(_api(layout, ports, service, settings[service], overrides) for service in Service),
        *(_worker(layout, ports, keys, service, settings[service], overrides) for service in WORKER_OPTIONS),
        _beat(layout, settings[Service.ORCHESTRATOR], overrides),
        _gateway(layout, ports, overrides.get("gateway", {})),
    ]


def compose_with_traces(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
    """Return every program of the fleet, and one that keeps the last traces: what `make up` starts."""
    sink = f"http://{HOST}:{ports[TRACES]}"
    return [_traces(layout, ports), *compose(layout, ports, keys, overrides, sink)]


def programs_for(environment: Mapping[str, str]) -> Compose:
    """Return what the fleet of a developer with this environment is made of."""
    return compose_with_traces if wants_sink(environment) else compose


def _environment(settings: Mapping[str, str], *more: Mapping[str, str]) -> dict[str, str]:
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.setdefault("LANG", "C.UTF-8")
    environment["PYTHONUNBUFFERED"] = "1"  # a line of a log is there when it was said
    environment["MALLOC_ARENA_MAX"] = ARENAS
    for part in (settings, *more):
        environment.update(part)
    return environment


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _redis(layout: Layout, ports: Mapping[str, int], keys: Keys) -> list[Program]:
    programs = []
    for name, memory in REDIS_MEMORY.items():
        folder = _private_folder(layout.data / name)
        config = write_redis_config(folder, port=ports[name], password=keys[name], maxmemory=memory)
        programs.append(
            Program(
                name=name,
                tier=Tier.DATA,
                command=redis_command(config),
                cwd=folder,
                environment=_environment({}),
                ready=redis_answers(ports[name], keys[name]),
            )
        )
    return programs


def _postgres(
    layout: Layout, ports: Mapping[str, int], keys: Keys, servers: Iterable[str] = databases.DATABASES
) -> list[Program]:
    account = postgres_account()
    folders = {name: databases.data_folder(layout, name) for name in servers}
    with ThreadPoolExecutor() as threads:  # at the first start it is most of what happens before anything runs
        list(threads.map(databases.prepare, folders.values(), (keys[name] for name in folders)))
    programs = []
    for name, data in folders.items():
        programs.append(
            Program(
                name=name,
                tier=Tier.DATA,
                command=[*account.prefix, *postgres_command(account.binaries, data, ports[name])],
                cwd=data.parent,
                environment=_environment({}),
                ready=postgres_accepts(data, ports[name]),
                after=databases.create_databases(account, ports[name], keys[name], databases.DATABASES[name]),
                removed=(data / "postmaster.pid",),
                user=None if account.user is None or account.group is None else (account.user, account.group),
                stop_signal="INT",  # ends the sessions and then itself; TERM would wait for its clients
            )
        )
    return programs


def _standins(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
    members = keys.folder / "membership.json"
    if not members.exists():  # whoever takes a key out of it wants it to stay out
        entries = {keys.hash_of(name): {"account_id": f"local-{name}"} for name in USER_KEYS}
        write_private(members, json.dumps(entries, indent=2) + "\n")
    programs = []
    for name, module, arguments, environment in (
        ("membership", "membership", ["--keys", str(members)], {}),
        ("endpoint", "endpoint", [], {"ENDPOINT_API_KEY": keys["endpoint"]}),
        ("demo-site", "demo_site", [], {}),
    ):
        command = [sys.executable, "-m", f"standins.{module}", "--host", HOST, "--port", str(ports[name]), *arguments]
        programs.append(
            Program(
                name=name,
                tier=Tier.STANDINS,
                command=command,
                cwd=LOCAL_DEV,
                environment=_environment(environment, overrides.get(name, {})),
                ready=http_ok(ports[name], "/health"),
            )
        )
    return programs


def _traces(layout: Layout, ports: Mapping[str, int]) -> Program:
    folder = _private_folder(layout.traces)
    command = [sys.executable, "-m", "traces.sink", "--host", HOST, "--port", str(ports[TRACES])]
    return Program(
        name=TRACES,
        tier=Tier.STANDINS,  # after the services, whose last spans come when they stop
        command=[*command, "--folder", str(folder)],
        cwd=LOCAL_DEV,
        environment=_environment({}),
        ready=accepts(ports[TRACES]),
    )


def _migrations(settings: Mapping[Service, Mapping[str, str]]) -> list[Program]:
    servers = {Service.ORCHESTRATOR: "postgres", Service.EMBEDDING: "postgres-vectors"}
    return [
        Program(
            name=f"{service}-migrate",
            tier=Tier.SERVICES,
            command=[sys.executable, "-m", "app.migrate"],
            cwd=REPOSITORY / service,
            environment=_environment(settings[service]),
            needs=(server,),
            once=True,
        )
        for service, server in servers.items()
    ]


def _renderer(scraper: Mapping[str, str]) -> list[Program]:
    """Return what renders pages, where there is a Chromium for it; until a page wants one it starts none."""
    if not scraper.get("RENDERER_URL"):
        return []
    socket = Path(scraper["RENDERER_URL"].removeprefix("unix://"))
    return [
        Program(
            name="scraper-renderer",
            tier=Tier.SERVICES,
            command=[sys.executable, "-m", "renderer", "--socket", str(socket)],
            cwd=REPOSITORY / Service.SCRAPER,
            environment=_environment({}),
            ready=socket.exists,
        )
    ]


def _needs(service: Service) -> tuple[str, ...]:
    migrated = (f"{service}-migrate",) if service in (Service.ORCHESTRATOR, Service.EMBEDDING) else ()
    return migrated + ((BROKERS[service],) if service in BROKERS else ())


def _api(
    layout: Layout, ports: Mapping[str, int], service: Service, settings: Mapping[str, str], overrides: Overrides
) -> Program:
    metrics = layout.metrics / service
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", HOST, "--port", str(ports[service])]
    processes = settings.get("API_PROCESSES", str(API_PROCESSES))
    command += ["--workers", processes, "--timeout-graceful-shutdown", str(API_STOP_SECONDS)]
    own = {
        "API_PROCESSES": processes,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "UVICORN_LOG_CONFIG": str(UVICORN_LOG_CONFIG),
        "UVICORN_TIMEOUT_WORKER_HEALTHCHECK": WORKER_HEALTHCHECK_SECONDS,
    }
    return Program(
        name=str(service),
        tier=Tier.SERVICES,
        command=command,
        cwd=REPOSITORY / service,
        environment=_environment(settings, own, overrides.get(f"{service}-api", {})),
        ready=http_ok(ports[service], "/health"),
        needs=_needs(service),
        emptied=(metrics,),
    )


def _worker(
    layout: Layout,
    ports: Mapping[str, int],
    keys: Keys,
    service: Service,
    settings: Mapping[str, str],
    overrides: Overrides,
) -> Program:
    name = f"{service}-worker"
    metrics = layout.metrics / name
    queue, options = WORKER_OPTIONS[service]
    command = [sys.executable, "-m", "celery", "-A", "app.worker.celery_app", "worker", "--loglevel=info"]
    own = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "WORKER_METRICS_PORT": str(ports[f"{name}-metrics"])}
    if service is Service.ORCHESTRATOR:
        own["CELERY_WORKER_CONCURRENCY"] = ORCHESTRATION_CHILDREN
    return Program(
        name=name,
        tier=Tier.WORKERS,
        command=[*command, "-Q", queue, *options],
        cwd=REPOSITORY / service,
        environment=_environment(settings, own, overrides.get(name, {})),
        ready=worker_listens(ports[BROKERS[service]], keys[BROKERS[service]]),
        needs=_needs(service),
        emptied=(metrics,),
    )


def _beat(layout: Layout, settings: Mapping[str, str], overrides: Overrides) -> Program:
    folder = _private_folder(layout.run / "beat")
    metrics = layout.metrics / "orchestrator-beat"
    command = [sys.executable, "-m", "celery", "-A", "app.worker.celery_app", "beat", "--loglevel=info"]
    command += ["--schedule", str(folder / "schedule"), "--pidfile="]
    return Program(
        name="orchestrator-beat",
        tier=Tier.WORKERS,
        command=command,
        cwd=REPOSITORY / Service.ORCHESTRATOR,
        environment=_environment(
            settings,
            {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "CELERY_QUIET": "1"},  # its banner is no line of a log
            overrides.get("orchestrator-beat", {}),
        ),
        needs=_needs(Service.ORCHESTRATOR),
        emptied=(folder, metrics),
    )


def _gateway(layout: Layout, ports: Mapping[str, int], overrides: Mapping[str, str]) -> Program:
    folder = _private_folder(layout.data / "gateway")
    logs = _private_folder(layout.logs / "gateway")
    for log in logs.glob("*.log"):  # nginx keeps these itself and never starts a new one
        if log.stat().st_size > GATEWAY_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
    variables = local_variables(
        REPOSITORY / "gateway-vm",
        folder,
        listen=f"{HOST}:{ports['gateway']}",
        upstreams={service: f"{HOST}:{ports[service]}" for service in Service},
        # relative to the folder that it is started with: a path with a space in it would end the directive
        GATEWAY_RUN_DIR="run",
        GATEWAY_TEMP_DIR="temp",
        GATEWAY_LOG_DIR=os.path.relpath(logs, folder),
        GATEWAY_CONSOLE_DIR="console",
        GATEWAY_HTTP_INCLUDES="http.d/*.conf",
        GATEWAY_SERVER_INCLUDES="server.d/*.conf",
        **overrides,
    )
    configuration = folder / "nginx.conf"
    template = REPOSITORY / "gateway-vm" / "nginx" / "nginx.conf.template"
    write_private(configuration, render_gateway(template, variables))
    return Program(
        name="gateway",
        tier=Tier.GATEWAY,
        command=nginx_command(find_nginx(), folder, configuration),
        cwd=folder,
        environment=_environment({}),
        ready=accepts(ports["gateway"]),
    )

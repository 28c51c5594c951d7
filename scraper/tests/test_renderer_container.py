"""The renderer's container, read from the files: a browser that strangers' scripts run in gets nothing that it can do without."""

import json
from pathlib import Path
from typing import Any

import yaml

SCRAPER = Path(__file__).resolve().parents[1]
NOT_FOR_A_PAGE = {
    *("bpf", "init_module", "io_uring_setup", "kexec_load", "keyctl", "mount", "move_mount", "open_by_handle_at"),
    *("perf_event_open", "pivot_root", "process_vm_writev", "ptrace", "reboot", "setns", "umount2", "userfaultfd"),
}
SANDBOX = {"chroot", "clone", "unshare"}


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SCRAPER / "docker-compose.yml").read_text())["services"]
    return found


def test_it_runs_only_where_it_is_asked_for_and_has_no_network() -> None:
    renderer = services()["scraper-renderer"]
    assert (renderer["profiles"], renderer["network_mode"]) == (["renderer"], "none")
    assert not {"ports", "networks", "env_file", "cap_add", "privileged"} & set(renderer)
    assert renderer["volumes"] == ["renderer_socket:/run/renderer"]


def test_what_renders_and_what_asks_for_it_share_a_socket_and_nothing_else() -> None:
    sharing = {name for name, one in services().items() if "renderer_socket:/run/renderer" in one.get("volumes", [])}
    assert sharing == {"scraper", "scraper-worker", "scraper-renderer"}
    for dockerfile in ("Dockerfile", "renderer/Dockerfile"):
        text = (SCRAPER / dockerfile).read_text()
        assert "/run/renderer" in text
        assert "useradd -m -u 1000" in text  # one number: the socket is its owner's alone


def test_its_filter_lets_a_sandbox_be_built_and_nothing_be_mounted_or_traced() -> None:
    profile = json.loads((SCRAPER / "renderer" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert (SANDBOX - allowed, NOT_FOR_A_PAGE & allowed) == (set(), set())

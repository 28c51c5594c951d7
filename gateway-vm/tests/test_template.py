"""The template, its variables, and the three places that name them."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import GATEWAY_FOLDER

from ml_shared.testing.gateway import GatewayTemplateError, local_variables, render_gateway

TEMPLATE = GATEWAY_FOLDER / "nginx" / "nginx.conf.template"
UPSTREAMS = dict.fromkeys(("orchestrator", "scraper", "chunking", "embedding"), "127.0.0.1:9")


def _named_in_template() -> set[str]:
    return set(re.findall(r"\$\{?(GATEWAY_[A-Z_]+)", TEMPLATE.read_text()))


def test_a_variable_that_is_not_set_is_an_error_that_names_it(tmp_path: Path) -> None:
    variables = local_variables(GATEWAY_FOLDER, tmp_path, listen="127.0.0.1:1", upstreams=UPSTREAMS)
    assert variables.keys() == _named_in_template()
    del variables["GATEWAY_LISTEN"]
    with pytest.raises(GatewayTemplateError, match="GATEWAY_LISTEN"):
        render_gateway(TEMPLATE, variables)


def test_nginx_own_variables_are_left_alone(tmp_path: Path) -> None:
    rendered = render_gateway(
        TEMPLATE, local_variables(GATEWAY_FOLDER, tmp_path, listen="127.0.0.1:1", upstreams=UPSTREAMS)
    )
    assert "GATEWAY_" not in rendered.replace("${GATEWAY_…}", "")
    assert "$http_x_request_id" in rendered


def test_the_gateway_waits_longer_than_each_services_sync_timeout() -> None:
    template = TEMPLATE.read_text()
    for service, sync_seconds in {"scraper": 30, "chunking": 12, "embedding": 60}.items():
        block = template.split(f"location /api/{service}/ {{")[1].split("\n        }")[0]
        waits = re.search(r"proxy_read_timeout (\d+)s;", block)
        assert waits is not None
        assert int(waits[1]) > sync_seconds


def test_nginx_takes_the_extra_files_of_the_container(nginx: str, tmp_path: Path) -> None:
    built_with = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    if "http_stub_status_module" not in built_with:
        pytest.skip("this nginx is built without stub_status; Debian's and the container's have it")
    variables = local_variables(GATEWAY_FOLDER, tmp_path, listen="127.0.0.1:1", upstreams=UPSTREAMS)
    variables["GATEWAY_HTTP_INCLUDES"] = str(GATEWAY_FOLDER / "nginx" / "http.d" / "*.conf")
    (tmp_path / "nginx.conf").write_text(render_gateway(TEMPLATE, variables))
    command = [nginx, "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr

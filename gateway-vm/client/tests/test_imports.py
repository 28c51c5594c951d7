"""What is imported with what: a program that wants models does not wait for httpx, and nobody for what he does not use."""

import subprocess
import sys
from importlib.metadata import requires

import pytest

PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
HTTPX = {"httpx", "httpcore", "h11", "certifi", "idna", "anyio", "sniffio", "socksio", "h2", "hpack", "hyperframe"}
OPTIONAL = {"brotli", "brotlicffi", "zstandard", "click", "rich", "pygments", "truststore", "email_validator", "dotenv"}
# what httpx and pydantic take along where it is there


def modules(code: str) -> set[str]:
    """The packages that are imported by a piece of code, those of Python left out."""
    program = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()}
    return {name for name in names if not name.startswith("_")} - set(sys.stdlib_module_names) - {"cloudcix_ml"}


def test_the_package_alone_imports_pydantic_and_nothing_else() -> None:
    found = modules("import cloudcix_ml")
    assert "pydantic" in found
    assert found <= PYDANTIC


def test_a_client_imports_httpx_and_nothing_else() -> None:
    found = modules("import cloudcix_ml; cloudcix_ml.Client('http://x', 'k').close()")
    assert "httpx" in found
    assert found - OPTIONAL <= PYDANTIC | HTTPX


def test_the_command_line_imports_neither_httpx_nor_mcp_before_it_asks_something() -> None:
    found = modules("import cloudcix_ml.cli.app")
    assert {"typer", "rich"} <= found
    assert found & {"httpx", "mcp", "ml_shared", "uvicorn", "starlette"} == set()


def test_installing_it_takes_httpx_and_pydantic() -> None:
    needed = requires("cloudcix-ml") or []
    assert {one.partition(">")[0] for one in needed if "extra" not in one} == {"httpx", "pydantic"}


@pytest.mark.parametrize(("missing", "extra"), [("typer", "cli"), ("rich", "cli"), ("mcp", "mcp")])
def test_where_an_extra_is_missing_it_is_named(missing: str, extra: str, monkeypatch, tmp_path) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['cloudcix-ml', 'mcp'];"
        "from cloudcix_ml.cli.__main__ import main; main()"
    )
    env = {"CLOUDCIX_ML_URL": "http://127.0.0.1:9", "CLOUDCIX_ML_KEY": "k", "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"pip install 'cloudcix-ml[{extra}]'")
    assert "Traceback" not in done.stderr

"""What is imported with what: a program that wants models does not wait for httpx, and nobody for what he does not use."""

import subprocess
import sys
from importlib.metadata import packages_distributions, requires

import pytest
from cloudcix_ml.cli.exits import Exit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def distributions(extra: str | None) -> set[str]:
    """All that comes with an installation of the client with an extra, or without any."""
    found, left = set(), [("cloudcix-ml", frozenset({extra} - {None}))]
    while left:
        name, extras = left.pop()
        if (canonicalize_name(name), extras) in found:
            continue
        found.add((canonicalize_name(name), extras))
        left += [
            (needed.name, frozenset(needed.extras))
            for needed in map(Requirement, requires(name) or [])
            if needed.marker is None or any(needed.marker.evaluate({"extra": one}) for one in extras or {""})
        ]
    return {name for name, _extras in found}


def packages_without(extra: str | None) -> set[str]:
    """What can be imported here, and could not be with that installation alone."""
    there = distributions(extra)
    return {
        package
        for package, names in packages_distributions().items()
        if not there & {canonicalize_name(name) for name in names}
    }


@pytest.mark.parametrize(("installed", "extra"), [(None, "cli"), ("cli", "mcp")])
def test_where_an_extra_is_missing_it_is_named(installed: str | None, extra: str, tmp_path) -> None:
    without = packages_without(installed)
    assert {"mcp", "starlette", "uvicorn"} <= without
    assert ("typer" in without) == (extra == "cli")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(without)!r})); sys.argv = ['cloudcix-ml', 'mcp'];"
        "from cloudcix_ml.cli.__main__ import main; main()"
    )
    env = {"CLOUDCIX_ML_URL": "http://127.0.0.1:9", "CLOUDCIX_ML_KEY": "k", "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == Exit.CONFIGURATION
    assert done.stderr.strip().endswith(f"pip install 'cloudcix-ml[{extra}]'")
    assert "Traceback" not in done.stderr

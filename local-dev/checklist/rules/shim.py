"""`instrumentation.py` is the same in every service, and does nothing but to pass ml_shared's on."""

import ast
from collections import Counter
from collections.abc import Iterator

from checklist.findings import Finding, held
from checklist.fleet import Fleet

NAME = "instrumentation.py"
PASSED_ON = "ml_shared.instrumentation"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare the files with what most of them say, and look at their statements."""
    texts = {f"{service}/{NAME}": fleet.tree.text(f"{service}/{NAME}") for service in fleet.services}
    ((usual, _),) = Counter(texts.values()).most_common(1)
    remedy = "what a service needs of its own belongs into ml_shared.instrumentation"
    for path, text in texts.items():
        yield held(text == usual, path, 0, "the same", f"it differs from the other services'; {remedy}")
        more = [node.lineno for node in fleet.tree.module(path).tree.body[1:] if not _passes_on(node)]
        yield held(not more, path, more[0] if more else 0, "an import", f"it does more than to import; {remedy}")


def _passes_on(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == PASSED_ON

"""No key, token or password is an argument of a task, stands in a log call, or has a column."""

import ast
from collections.abc import Iterator

import sqlglot

from checklist.findings import Finding, failed, held, passed
from checklist.fleet import Fleet
from ml_shared.telemetry.masking import MASK, is_secret_name, mask_secrets

LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
EMIT = "ml_shared.audit.logger.emit"
OPENS_A_SECRET = "get_secret_value"  # noqa: S105 - the name of pydantic's method
STAND_IN = "0123456789ab"
TOLD_ONCE = frozenset({"WebhookCreated.secret", "WebhookRotated.secret"})
"""Fields of answers with what this service itself has just made, and tells nobody again."""
OPTIONAL = frozenset({"IF", "NOT", "EXISTS", "ONLY", "TEMPORARY", "TEMP", "UNLOGGED"})
CONSTRAINTS = frozenset(
    {"PRIMARY", "FOREIGN", "PRIMARY KEY", "FOREIGN KEY", "UNIQUE", "CHECK", "CONSTRAINT", "EXCLUDE", "LIKE"}
)


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at tasks' arguments, at what may be sent to a queue, at log and audit calls, and at every column."""
    yield from _task_arguments(fleet)
    yield from _fields(fleet)
    yield from _log_calls(fleet)
    yield from _columns(fleet)


def _task_arguments(fleet: Fleet) -> Iterator[Finding]:
    for _, task, module, function in fleet.tasks():
        every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        secret = [one.arg for one in every if is_secret_name(one.arg)]
        wrong = (
            f"{task.name} takes {', '.join(secret)}: Redis and every log of tasks would hold it; pass `owner` instead"
        )
        yield held(not secret, module.path, function.lineno, f"arguments of {task.name}", wrong)
    for module in fleet.code():
        for call, name in module.calls():
            if name.endswith((".enqueue", ".apply_async")):
                for given in sorted(set(_secrets(call))):
                    yield failed(module.path, call.lineno, f"{given} would go into a queue; pass `owner` instead")


def _fields(fleet: Fleet) -> Iterator[Finding]:
    """Look at the fields of bodies: what is sent in one becomes a task's arguments, and is kept with a job."""
    for app in fleet.apps:
        schemas = app.openapi.get("components", {}).get("schemas", {})
        fields = [f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})]
        secret = [field for field in fields if is_secret_name(field.rpartition(".")[2]) and field not in TOLD_ONCE]
        wrong = f"{', '.join(secret)}: a secret in a body goes on into tasks and tables; keys come in headers only"
        yield held(not secret, f"{app.service}/app/api/schemas.py", 0, f"{len(fields)} fields of bodies", wrong)


def _log_calls(fleet: Fleet) -> Iterator[Finding]:
    for module in fleet.code():
        calls = [call for call, name in module.calls() if _logs(call, name)]
        wrong = [(call, given) for call in calls for given in sorted(set(_secrets(call)))]
        for call, given in wrong:
            yield failed(module.path, call.lineno, f"{given} would stand in a log line; leave it out")
        if calls and not wrong:
            yield passed(module.path, 0, f"{len(calls)} log calls")


def _logs(call: ast.Call, name: str) -> bool:
    if name == EMIT:
        return True
    spoken, _, level = name.rpartition(".")
    return level in LEVELS and spoken.rpartition(".")[2].lower().strip("_") in {"logger", "log", "logging", "audit"}


def _secrets(call: ast.Call) -> Iterator[str]:
    """Yield what is named like a secret among the arguments of a call."""
    for given in [*call.args, *(keyword.value for keyword in call.keywords)]:
        for node in ast.walk(given):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                    if is_secret_name(name) or name == OPENS_A_SECRET:
                        yield name
                case ast.Dict(keys=keys):
                    yield from (
                        key.value
                        for key in keys
                        if isinstance(key, ast.Constant) and isinstance(key.value, str) and is_secret_name(key.value)
                    )
                case ast.Constant(value=str(text)) if "%s" in text:
                    if MASK in mask_secrets(text.replace("%s", STAND_IN)) and MASK not in text:
                        yield repr(text)
    yield from (keyword.arg for keyword in call.keywords if keyword.arg and is_secret_name(keyword.arg))


def _columns(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        for path in fleet.tree.under(f"{service}/migrations", suffix=".sql"):
            columns = sorted(_columns_of(fleet.tree.text(path)))
            secret = [column for column in columns if is_secret_name(column.rpartition(".")[2])]
            wrong = (
                f"{', '.join(secret)} would keep a secret; keep its SHA-256 under a name that ends in _hash, or nothing"
            )
            yield held(not secret, path, 0, f"{len(columns)} columns", wrong)


def _columns_of(text: str) -> set[str]:
    """Return the columns that a migration makes, as `table.column`.

    The tokens only, since sqlglot's parser does not know all of PostgreSQL's clauses (`STORAGE PLAIN`).
    """
    tokens = [token.text for token in sqlglot.tokenize(text, dialect="postgres")]
    found = set()
    for index, word in enumerate(tokens):
        table, rest = _table_of(tokens, index)
        if not table:
            continue
        if word.upper() == "CREATE":
            found |= {f"{table}.{part[0]}" for part in _parts(rest) if part and part[0].upper() not in CONSTRAINTS}
        else:
            found |= {f"{table}.{name}" for name in _added(rest)}
    return found


def _table_of(tokens: list[str], index: int) -> tuple[str, list[str]]:
    """Return the table of a `CREATE TABLE` or an `ALTER TABLE` that begins here, and what follows, up to its `;`."""
    if tokens[index].upper() not in {"CREATE", "ALTER"}:
        return "", []
    end = tokens.index(";", index) if ";" in tokens[index:] else len(tokens)
    words = [word for word in tokens[index + 1 : end] if word.upper() not in OPTIONAL]
    return (words[1], words[2:]) if len(words) > 2 and words[0].upper() == "TABLE" else ("", [])


def _parts(words: list[str]) -> Iterator[list[str]]:
    """Yield what stands between the commas of the first parentheses."""
    depth = 0
    part: list[str] = []
    for word in words:
        depth += (word == "(") - (word == ")")
        if depth == 0:
            break
        if word == "," and depth == 1:
            yield part
            part = []
        elif not (word == "(" and depth == 1):
            part.append(word)
    yield part


def _added(words: list[str]) -> Iterator[str]:
    for index, word in enumerate(words[:-1]):
        if word.upper() == "ADD" and words[index + 1].upper() not in CONSTRAINTS:
            name = words[index + 1]
            yield words[index + 2] if name.upper() == "COLUMN" else name

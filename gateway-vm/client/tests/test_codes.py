"""Every `code` that a service or the gateway answers with has a class here, of the right kind."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache

import pytest
from cloudcix_ml import errors
from cloudcix_ml.core.effects import Answer
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.errors import CLASS_OF_CODE, class_of
from cloudcix_ml.errors.kinds import KIND_OF_STATUS, InternalError, InvalidRequestError
from documents import REPOSITORY, SERVICES

from ml_shared.errors import CLASS_OF_KIND, HTTP_STATUS

STATUS_OF_BASE = {kind.__name__: HTTP_STATUS[name] for name, kind in CLASS_OF_KIND.items()}
NOT_FOR_CLIENTS = {
    # of callbacks, hand-outs and content, which only services ask for
    *("abandon", "content_corrupt", "content_missing", "content_not_found", "content_too_large", "incomplete_hand_out"),
    *(
        "orchestrator_unavailable",
        "stage_rejected",
        "stage_unanswered",
        "stage_unavailable",
        "wrong_stage",
        "secret_unreadable",
    ),
    # of commands and start-up, and a search's warnings
    *("model_still_answers", "poor_recall", "stale_schema", "query_cut", "results_incomplete", "words_excluded"),
    # of the operator's routes
    *("change_not_found", "change_under_way"),
}


def _classes() -> dict[str, tuple[str, str | None]]:
    """Each error class of the services' sources: its base's name and its code."""
    found = {}
    for folder in ("ml-shared/ml_shared", *(f"{service}/app" for service in SERVICES)):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if "testing" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and node.bases:
                    found[node.name] = (ast.unparse(node.bases[0]).rpartition(".")[2], _code_of(node))
    return found


def _code_of(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                return code
    return None


@cache
def told() -> frozenset[tuple[str, int | None]]:
    """Each code, with the status of its class where it is a class' own."""
    return frozenset(_told())


def _told() -> Iterator[tuple[str, int | None]]:
    classes = _classes()
    for name, (base, code) in classes.items():
        if code is None:
            continue
        while name not in STATUS_OF_BASE and base not in STATUS_OF_BASE and base in classes:
            base = classes[base][0]
        status = STATUS_OF_BASE.get(name) or STATUS_OF_BASE.get(base)
        if status is not None:
            yield code, status
    for folder in ("ml-shared/ml_shared/http", "ml-shared/ml_shared/auth", "ml-shared/ml_shared/queues"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            yield from ((code, None) for code in re.findall(r'code="([a-z_]+)"', path.read_text()))
    template = (REPOSITORY / "gateway-vm/nginx/nginx.conf.template").read_text()
    block = re.search(r"map \$status \$problem_code \{(.*?)\n    \}", template, re.DOTALL)
    assert block is not None
    for status, code in re.findall(r"(\d{3}|default)\s+([a-z_]+);", block[1]):
        yield code, None if status == "default" else int(status)


def test_every_code_that_a_client_may_be_told_has_a_class_of_its_own() -> None:
    codes = {code for code, _ in told()}
    assert len(codes) > 60
    assert codes - NOT_FOR_CLIENTS - set(CLASS_OF_CODE) == set()


def test_every_code_that_a_client_may_be_told_is_explained() -> None:
    page = (REPOSITORY / "local-dev/docs/errors.md").read_text()
    assert {code for code, _ in told() if f"`{code}`" not in page} - NOT_FOR_CLIENTS == set()


@pytest.mark.parametrize(("code", "status"), sorted({one for one in told() if one[1] is not None}))
def test_a_code_is_of_the_kind_that_its_status_says(code: str, status: int) -> None:
    if code in CLASS_OF_CODE:
        wanted = KIND_OF_STATUS.get(status, InvalidRequestError if status < 500 else InternalError)
        assert issubclass(CLASS_OF_CODE[code], wanted)


def test_an_unknown_code_is_what_its_status_says() -> None:
    assert class_of("a_code_of_tomorrow", 404) is errors.NotFoundError
    assert class_of("a_code_of_tomorrow", 418) is errors.InvalidRequestError
    assert class_of("a_code_of_tomorrow", 599) is errors.InternalError


def test_an_error_says_what_to_mend_and_where_to_look() -> None:
    body = (
        b'{"code": "invalid_request", "status": 422, "detail": "a field is wrong", "trace_id": "ab", "request_id": "r",'
        b' "errors": [{"field": "body.url", "message": "not a URL", "type": "url"}]}'
    )
    error = error_of(Answer(422, {}, body), None)
    assert isinstance(error, errors.InvalidRequestError)
    assert str(error) == "invalid_request: a field is wrong; body.url: not a URL (trace ab)"
    assert (error.errors[0].field, error.trace_id, error.request_id, error.status) == ("body.url", "ab", "r", 422)


def test_every_class_is_exported_and_says_what_it_is() -> None:
    for name, one in vars(errors).items():
        if inspect.isclass(one) and issubclass(one, Exception):
            assert name in errors.__all__
            assert one.__doc__

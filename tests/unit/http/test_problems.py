import logging
from collections.abc import Iterator

import msgspec
import pytest

from twofold import errors
from twofold.errors import TwofoldError
from twofold.http import problems
from twofold.http.answers import Answer
from twofold.http.problems import MEANINGS, Problem, meaning_of, problem_answer
from twofold.observability.logs import configure_logs
from twofold.settings import Settings


def descendants(kind: type[TwofoldError]) -> Iterator[type[TwofoldError]]:
    for each in kind.__subclasses__():
        yield each
        yield from descendants(each)


EVERY_ERROR = sorted(
    {each for each in descendants(TwofoldError) if each.__module__.startswith("twofold.")},
    key=lambda each: each.__name__,
)


def decoded(answer: Answer) -> Problem:
    return msgspec.json.decode(answer.body, type=Problem)


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_of_its_kind(kind: type[TwofoldError]) -> None:
    status = meaning_of(kind).status
    if issubclass(kind, errors.InvalidInputError | errors.RefusedError | problems.HttpError):
        assert 400 <= status < 500
    elif issubclass(kind, errors.UnavailableError):
        assert status == 503
    else:
        assert status in (404, 500)


def test_every_fact_that_the_table_names_is_a_member_of_the_problem() -> None:
    members = {field.name for field in msgspec.structs.fields(Problem)}
    assert not {fact for meaning in MEANINGS.values() for fact in meaning.facts} - members


def test_a_problem_says_what_where_and_with_which_values() -> None:
    error = errors.WrongExpectedVersionError("account-a1", 3, 5)
    answer = problem_answer(error)
    assert answer.status == 412
    assert (b"content-type", b"application/problem+json") in answer.headers
    assert msgspec.json.decode(answer.body) == {
        "type": "urn:twofold:problem:wrong-expected-version",
        "title": "Wrong expected version",
        "status": 412,
        "detail": str(error),
        "code": "wrong-expected-version",
        "stream": "account-a1",
        "expected": 3,
        "actual": 5,
    }


def test_a_refusal_of_the_domain_keeps_its_code_and_text() -> None:
    problem = decoded(problem_answer(errors.Rejected("product mug is sold out", code="sold-out")))
    assert (problem.type, problem.code, problem.detail) == (
        "urn:twofold:problem:rejected",
        "sold-out",
        "product mug is sold out",
    )


def test_an_unknown_name_says_of_what_and_which_is_near() -> None:
    problem = decoded(problem_answer(errors.UnknownMessageError("query", "Ordrs", "Orders")))
    assert (problem.code, problem.nearest) == ("unknown-query", "Orders")
    assert decoded(problem_answer(errors.UnknownMessageError("command", "X"))).nearest is msgspec.UNSET


def test_a_wrong_field_has_its_pointer_also_when_it_is_the_whole() -> None:
    assert decoded(problem_answer(errors.InvalidMessageError("Buy", "Expected `int`", "/a~1b/0"))).pointer == "/a~1b/0"
    assert decoded(problem_answer(errors.InvalidMessageError("Buy", "Expected `object`"))).pointer == ""


def test_what_may_succeed_later_says_when_to_try() -> None:
    answer = problem_answer(errors.OverloadedError("commands", 10))
    assert (b"retry-after", b"1") in answer.headers
    assert decoded(answer).retry_after_s == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the password is 1234"),
        errors.CorruptStoreError("/srv/secret.db", "the password is 1234", "restore it"),
        errors.HandlerFailedError("Account.password", "c-1"),
    ],
)
def test_a_bug_or_a_broken_store_is_told_to_nobody(error: Exception) -> None:
    problem = decoded(problem_answer(error))
    assert problem.status == 500
    assert "password" not in problem.detail
    assert isinstance(problem.correlation_id, str)
    assert problem.correlation_id in problem.detail


def test_a_bug_is_logged_under_the_correlation_id_that_its_client_sees(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers
    configure_logs(Settings(log_format="json"))
    try:
        problem_answer(RuntimeError("the password is 1234"), correlation_id="c-7")
    finally:
        logging.getLogger().handlers = before
    logged = msgspec.json.decode(capsys.readouterr().err)
    assert logged["correlation_id"] == "c-7"
    assert "the password is 1234" in logged["exception"]

import inspect
import re
from collections.abc import Iterator

import pytest

from twofold import errors
from twofold.errors import (
    AlreadyExistsError,
    CommandIdReusedError,
    ContentionError,
    HandlerFailedError,
    InvalidKeyError,
    InvalidMessageError,
    NotFoundError,
    NotYetConsistentError,
    OverloadedError,
    QueryTimeoutError,
    RefusedError,
    Rejected,
    StoreUnavailableError,
    TwofoldError,
    UnavailableError,
    UnknownMessageError,
    WrongExpectedVersionError,
    shortened,
)


def error_classes() -> list[type[TwofoldError]]:
    return [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, TwofoldError)]


def drawn_tree() -> Iterator[tuple[str, str]]:
    """(class, its base) for every class that the module's docstring draws."""
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([│├└─ ]*)((?:\w+(?:Error|Rejected)|Rejected)(?:, \w+Error)*)", line)
        if found:
            depth = len(found[1]) // 4
            for name in found[2].split(", "):
                yield name, above.get(depth - 1, "Exception")
            above[depth] = found[2].split(", ")[0]


def test_the_drawn_tree_is_the_tree() -> None:
    real = {(each.__name__, each.__bases__[0].__name__) for each in error_classes()}
    assert set(drawn_tree()) == real


def test_every_error_is_public_in_its_module_and_has_its_own_code() -> None:
    assert {each.__name__ for each in error_classes()} == set(errors.__all__)
    codes = [each.code for each in error_classes()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_every_error_says_in_its_docstring_what_it_means() -> None:
    assert not [each.__name__ for each in error_classes() if not each.__dict__.get("__doc__")]


@pytest.mark.parametrize(
    ("error", "facts", "text"),
    [
        (
            WrongExpectedVersionError("account-a1", 3, 5),
            {"stream": "account-a1", "expected": 3, "actual": 5},
            (
                "stream 'account-a1': expected version 3, found 5; nothing was appended "
                "(read again from 5 and decide again)"
            ),
        ),
        (
            NotFoundError("account-a1", "Deposit"),
            {"stream": "account-a1", "command": "Deposit"},
            "stream 'account-a1': Deposit needs a stream with events and found none; nothing was appended",
        ),
        (
            AlreadyExistsError("account-a1", "OpenAccount", 2),
            {"stream": "account-a1", "command": "OpenAccount", "version": 2},
            "stream 'account-a1': OpenAccount opens a stream, and this one is at version 2; nothing was appended",
        ),
        (
            CommandIdReusedError("k1", "account-a1"),
            {"command_id": "k1", "stream": "account-a1"},
            (
                "command id 'k1' is recorded for another command on stream 'account-a1'; nothing was appended "
                "(a new command needs a new id)"
            ),
        ),
        (
            ContentionError("account-a1", 10),
            {"stream": "account-a1", "attempts": 10},
            "stream 'account-a1': 10 attempts lost against other writers; nothing was appended (try again)",
        ),
        (
            OverloadedError("commands", 2),
            {"what": "commands", "limit": 2},
            "2 commands are waiting already; nothing was done (try again in a second)",
        ),
        (
            NotYetConsistentError(17, 12, "Balance"),
            {"wanted": 17, "reached": 12, "read_models": "Balance"},
            (
                "Balance: position 17 was wanted, 12 is reached; no answer was made "
                "(try again, or ask without the wanted position)"
            ),
        ),
        (
            QueryTimeoutError("AccountsOf", 0.5),
            {"query": "AccountsOf", "timeout_s": 0.5},
            "AccountsOf: no answer within 0.5 seconds; the query was given up (ask for less)",
        ),
        (
            StoreUnavailableError("event log log.db", "the disk is full"),
            {"store": "event log log.db", "reason": "the disk is full"},
            "event log log.db: the disk is full; nothing was written (mend the cause; no restart is needed)",
        ),
        (
            InvalidMessageError("Deposit", "Expected `int`, got `str`", "/amount"),
            {"name": "Deposit", "reason": "Expected `int`, got `str`", "pointer": "/amount"},
            "Deposit: Expected `int`, got `str` at '/amount'; nothing was done (correct the field and send it again)",
        ),
        (
            UnknownMessageError("command", "Depsit", "Deposit"),
            {"kind": "command", "name": "Depsit", "nearest": "Deposit"},
            "the application has no command named 'Depsit'; nothing was done (did you mean Deposit?)",
        ),
        (
            UnknownMessageError("query", "Xyz"),
            {"nearest": None},
            "the application has no query named 'Xyz'; nothing was done (/docs lists every query)",
        ),
        (
            HandlerFailedError("Account.deposit", "c1"),
            {"handler": "Account.deposit", "correlation_id": "c1"},
            "Account.deposit failed; nothing was done (the service's log has the details under correlation id c1)",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, TwofoldError) else "",
)
def test_an_error_says_what_where_and_what_next_and_has_the_same_facts(
    error: TwofoldError, facts: dict[str, object], text: str
) -> None:
    assert str(error) == text
    assert {name: getattr(error, name) for name in facts} == facts


def test_a_refusal_of_the_domain_carries_its_own_code_and_text() -> None:
    refusal = Rejected("the amount must be positive", code="amount-not-positive")
    assert (refusal.code, refusal.text, str(refusal)) == (
        "amount-not-positive",
        "the amount must be positive",
        "the amount must be positive",
    )
    assert Rejected("no").code == Rejected.code == "rejected"
    assert isinstance(refusal, RefusedError)


def test_everything_that_may_succeed_later_says_when_to_try() -> None:
    assert all(each.retry_after_s >= 1 for each in error_classes() if issubclass(each, UnavailableError))


def test_hostile_input_cannot_fill_a_log() -> None:
    assert len(shortened("x" * 1_000_000)) <= 85
    assert len(shortened(["x" * 1_000_000])) <= 85
    assert shortened("a\nb") == "'a\\nb'"
    assert len(str(InvalidKeyError("account", "k" * 100_000))) < 300
    assert len(str(UnknownMessageError("command", "k" * 100_000))) < 300

from collections.abc import Awaitable, Callable
from typing import Any, Optional

import pytest

from tests.unit.declared import module_of
from twofold import DeclarationError, Query, ReadModel, View, answer
from twofold.query import answer_of, query_result


class Balance(ReadModel, key="account_id"):
    account_id: str
    owner: str = ""


class Owner(ReadModel, key="owner"):
    owner: str


class AccountsOf(Query[list[Balance]]):
    owner: str


class BalanceOf(Query[Optional[Balance]]):  # noqa: UP045 - the older spelling is the same type
    account_id: str


@answer
async def accounts_of(query: AccountsOf, balances: View[Balance], owners: View[Owner]) -> list[Balance]:
    if await owners.get(query.owner) is None:
        return []
    return await balances.find(owner=query.owner)


def test_an_answer_is_read_with_its_query_its_type_and_its_views() -> None:
    found = answer_of(accounts_of)
    assert (found.query, found.name, found.returns) == (AccountsOf, "accounts_of", list[Balance])
    assert found.views == (("balances", Balance), ("owners", Owner))


def test_a_query_states_its_answers_type() -> None:
    class AccountsOfFriends(AccountsOf):
        friend: str

    assert query_result(AccountsOf) == query_result(AccountsOfFriends) == list[Balance]
    assert query_result(BalanceOf) == Balance | None


def test_an_answer_needs_no_view() -> None:
    @answer
    async def balance_of(query: BalanceOf) -> Balance | None:
        return None

    assert answer_of(balance_of).views == ()


READ = """
class Balance(ReadModel, key="account_id"):
    account_id: str

class Count(Query[int]):
    owner: str

class Stateless(Query):
    owner: str
"""

WRONG = {
    "@answer\ndef wrong(query: Count) -> int: return 1": (
        "wrong: an answer reads, so it must be a coroutine: write async def wrong"
    ),
    "@answer\nasync def wrong() -> int: return 1": "wrong: the first parameter must be annotated with a query",
    "@answer\nasync def wrong(query: Deposit) -> int: return 1": (
        "wrong: the first parameter must be annotated with a query"
    ),
    "@answer\nasync def wrong(query) -> int: return 1": (
        "wrong: the parameter 'query' has no annotation; annotate it with its type"
    ),
    "@answer\nasync def wrong(query: Count, rows: Balance) -> int: return 1": (
        "wrong: the parameter 'rows' must be annotated View[...] of a read model"
    ),
    "@answer\nasync def wrong(query: Count, rows: View) -> int: return 1": (
        "wrong: the parameter 'rows' must be annotated View[...] of a read model"
    ),
    "@answer\nasync def wrong(query: Count, rows: View[int]) -> int: return 1": (
        "wrong: the parameter 'rows' must be annotated View[...] of a read model"
    ),
    "@answer\nasync def wrong(query: Count, rows: View[list[Balance]]) -> int: return 1": (
        "wrong: the parameter 'rows' must be annotated View[...] of a read model"
    ),
    "@answer\nasync def wrong(query: Count) -> str: return ''": (
        "wrong: returns <class 'str'>, but Count states <class 'int'>; make them the same"
    ),
    "@answer\nasync def wrong(query: Count): return 1": (
        "wrong: returns None, but Count states <class 'int'>; make them the same"
    ),
    "@answer\nasync def wrong(query: Stateless) -> int: return 1": (
        "Stateless: say what it is answered with, as in class Stateless(Query[int])"
    ),
    "@answer\nasync def wrong(query: Count, rows: View[Balance]) -> int: return 1": (
        "wrong: 'rows' views Balance, which the application does not list; add it"
    ),
}


@pytest.mark.parametrize(("code", "sentence"), WRONG.items())
def test_an_answer_declared_wrongly_fails_when_its_application_is_made(code: str, sentence: str) -> None:
    module = module_of(READ, code)
    with pytest.raises(DeclarationError) as mistake:
        module.Application("bank", [module.wrong])
    assert str(mistake.value) == sentence


def test_a_marked_function_stays_the_function_that_it_is() -> None:
    async def count(query: AccountsOf) -> list[Balance]:
        return []

    marked: Callable[..., Awaitable[Any]] = answer(count)
    assert marked is count

import subprocess
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Optional

import pytest

from tests.unit.declared import module_of
from twofold import Aggregate, DeclarationError, Event, Meta, ReadModel
from twofold.declarations import admits_none, classes_in, code_fingerprint


class Opened(Event):
    account_id: str


class Closed(Event):
    account_id: str


class Account(Aggregate, key="account_id"):
    balance: int = 0


class Balance(ReadModel, key="account_id"):
    account_id: str


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (Opened, [Opened]),
        (Opened | None, [Opened]),
        (Iterable[Opened | Closed] | None, [Opened, Closed]),
        (list[Opened] | Opened, [Opened]),
        (Annotated[Opened, "why"], [Opened]),
        (int, []),
        (None, []),
    ],
    ids=str,
)
def test_every_class_of_a_kind_is_found_in_an_annotation(annotation: Any, found: list[type]) -> None:
    assert classes_in(annotation, Event) == found


@pytest.mark.parametrize(
    ("annotation", "admits"),
    [
        (None, False),
        (type(None), True),
        (str, False),
        (str | None, True),
        (Optional[str], True),  # noqa: UP045 - the older spelling is met as well
        (Annotated[str | None, Meta(max_length=3)], True),
        (Optional[Annotated[str, Meta(max_length=3)]], True),  # noqa: UP045
        (list[str | None], False),
    ],
    ids=str,
)
def test_an_annotation_admits_none_or_does_not(annotation: Any, admits: bool) -> None:
    assert admits_none(annotation) is admits


@pytest.mark.parametrize("state", [Account(), Balance(account_id="a1")], ids=repr)
def test_a_misspelt_field_is_an_error_and_not_a_lost_value(state: Any) -> None:
    with pytest.raises(AttributeError):
        state.balanse = 3


def test_fields_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Account(3)  # pyright: ignore[reportCallIssue]


def test_an_annotation_that_names_nothing_says_what_to_import() -> None:
    module = module_of(
        """
        class Account(Aggregate, key="account_id"):
            @handle(creates=True)
            def open(self, command: "OpenAcount") -> AccountOpened:
                return AccountOpened(account_id="a1", owner="ann")
        """
    )
    with pytest.raises(DeclarationError) as mistake:
        module.Application("bank", [module.Account])
    assert str(mistake.value) == (
        "Account.open: the annotation names 'OpenAcount', which its module does not have; "
        "import it (not only under TYPE_CHECKING) or define the class at module level"
    )


# --- fingerprints ----------------------------------------------------------------------------------------------------


def folds(code: str) -> Any:
    return vars(module_of(code))["fold"]


FOLD = "def fold(self, event):\n    self.balance += event.amount"


@pytest.mark.parametrize(
    "same",
    [
        "def fold(self, event):\n    # a comment\n\n    self.balance += event.amount",
        "# elsewhere\n\n\ndef fold(self, event):\n    self.balance += event.amount",
    ],
)
def test_comments_and_places_leave_a_fingerprint_as_it_is(same: str) -> None:
    assert code_fingerprint(folds(FOLD)) == code_fingerprint(folds(same))


@pytest.mark.parametrize(
    "other",
    [
        "def fold(self, event):\n    self.balance -= event.amount",
        "def fold(self, event):\n    self.balance += event.total",
        "def fold(self, event):\n    self.balance += event.amount * 2",
        "def fold(self, event, factor=1):\n    self.balance += event.amount",
        "fold = lambda self, event: [x for x in event.amounts]",
    ],
)
def test_other_code_has_another_fingerprint(other: str) -> None:
    assert code_fingerprint(folds(FOLD)) != code_fingerprint(folds(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def fold(self, event, factor=1): return factor", "def fold(self, event, factor=2): return factor"),
        ("fold = lambda e: [x + 1 for x in e]", "fold = lambda e: [x + 2 for x in e]"),
        ("fold = lambda e: e in {'a', 'b'}", "fold = lambda e: e in {'a', 'c'}"),
    ],
)
def test_defaults_inner_functions_and_constants_count(one: str, other: str) -> None:
    assert code_fingerprint(folds(one)) != code_fingerprint(folds(other))


OWNER = """
def doubled(amount): return tripled(amount)
def tripled(amount): return 3 * amount

class Owner:
    def fold(self, event):
        self.balance += self.count(event)
    def count(self, event):
        return doubled(event.amount) + self.rate + self.shared()
    @property
    def rate(self):
        return 1
    @staticmethod
    def shared():
        return 2
    def again(self, left):
        return self.again(left - 1) if left else 0
    def unused(self):
        return 7
"""


def owners(code: str) -> str:
    owner: Any = vars(module_of(code))["Owner"]
    return code_fingerprint(owner.fold, owner=owner)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 3 * amount", "return 4 * amount"),
        ("return tripled(amount)", "return tripled(amount) + 1"),
        ("doubled(event.amount) +", "doubled(event.amount) -"),
        ("        return 1", "        return 10"),
        ("        return 2", "        return 20"),
    ],
)
def test_what_a_function_calls_in_its_module_or_its_class_counts(old: str, new: str) -> None:
    assert owners(OWNER) != owners(OWNER.replace(old, new))


def test_what_a_function_does_not_call_does_not_count() -> None:
    assert owners(OWNER) == owners(OWNER.replace("return 7", "return 8"))


def test_functions_that_call_themselves_come_to_an_end() -> None:
    owner: Any = vars(module_of(OWNER))["Owner"]
    assert code_fingerprint(owner.again, owner=owner)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """Sets of strings are ordered anew in every process."""
    code = """
from decimal import Decimal
from twofold import Event, ReadModel, on
from twofold.read_model import ReadModelType

class Opened(Event):
    account_id: str
    country: str

class Account(ReadModel, key="account_id"):
    account_id: str
    near: bool = False
    lines: list[str] = []
    amount: Decimal = Decimal(0)

    @on(Opened, key=lambda event: {event.account_id, "a", "b"})
    def opened(self, event: Opened) -> None:
        self.near = event.country in {"EIRE", "France", "Spain", "Portugal", ("a", "b")}

table = ReadModelType.of(Account).table
print(table.fingerprint, table.fold_fingerprint)
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, timeout=60
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1

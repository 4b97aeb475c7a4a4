from types import ModuleType

import pytest

from examples import bank, shop
from tests.unit.declared import module_of
from twofold import Application, DeclarationError
from twofold.application import Gap
from twofold.errors import UnknownMessageError, WrongServiceError

SLICE = """
class Account(Aggregate, key="account_id"):
    balance: Decimal = Decimal(0)

    @handle(creates=True)
    def open(self, command: OpenAccount) -> AccountOpened:
        return AccountOpened(account_id=command.account_id, owner=command.owner)

    @handle
    def deposit(self, command: Deposit) -> Deposited:
        return Deposited(account_id=command.account_id, amount=command.amount)

    @apply
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

class Balance(ReadModel, key="account_id"):
    account_id: str

    @on(AccountOpened)
    def opened(self, event: AccountOpened) -> None: ...

class Count(Query[int]): ...

@answer
async def count(query: Count, balances: View[Balance]) -> int:
    return await balances.count()
"""


def test_the_slice_of_the_design_has_no_gaps() -> None:
    assert bank.app.check() == ()


def test_what_is_listed_exists_and_nothing_else() -> None:
    module = module_of(SLICE)
    app = Application("bank", [module.Account])
    assert list(app.aggregates) == ["account"]
    assert list(app.commands) == ["OpenAccount", "Deposit"]
    assert not app.read_models
    assert not app.queries
    assert set(app.events) == {"AccountOpened", "Deposited"}


def test_a_module_stands_for_its_public_components() -> None:
    app = Application("bank", [bank])
    assert (list(app.aggregates), list(app.read_models), list(app.queries)) == (
        ["account"],
        ["Balance"],
        ["AccountsOf"],
    )


def test_a_component_that_a_module_only_imports_is_not_taken_unless_exported() -> None:
    importing = ModuleType("importing")
    vars(importing).update(Account=bank.Account, Balance=bank.Balance, __all__=["Balance"])
    app = Application("bank", [importing])
    assert not app.aggregates
    assert list(app.read_models) == ["Balance"]


def test_a_private_component_of_a_module_is_not_taken() -> None:
    module = module_of(SLICE, "_Hidden = Account; del Account\nclass _Secret(ReadModel, key='a'): a: str")
    app = Application("bank", [module])
    assert not app.aggregates
    assert list(app.read_models) == ["Balance"]


def test_what_is_listed_twice_is_taken_once() -> None:
    app = Application("bank", [bank, bank.Account, bank.Balance, bank.accounts_of])
    assert len(app.aggregates) == len(app.read_models) == len(app.queries) == 1


def test_messages_are_found_by_class_and_by_name() -> None:
    app = bank.app
    assert app.command_type(bank.Deposit) is app.command_named("Deposit")
    assert app.query_type(bank.AccountsOf) is app.query_named("AccountsOf")


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [("command", "Depsit", "Deposit"), ("command", "x" * 10_000, None)],
    ids=["near", "far"],
)
def test_an_unknown_message_names_the_nearest_known_one(kind: str, name: str, nearest: str | None) -> None:
    with pytest.raises(UnknownMessageError) as refusal:
        bank.app.command_named(name)
    assert (refusal.value.kind, refusal.value.name, refusal.value.nearest) == (kind, name, nearest)


def test_a_class_of_another_application_is_unknown_even_if_a_name_is_near() -> None:
    module = module_of("class Withdraw(Command): account_id: str\nclass Total(Query[int]): ...")
    with pytest.raises(UnknownMessageError, match="Withdraw"):
        bank.app.command_type(module.Withdraw)
    with pytest.raises(UnknownMessageError, match="Total"):
        bank.app.query_type(module.Total)


# --- declared wrongly ------------------------------------------------------------------------------------------------

TWICE = {
    "class Account2(Aggregate, key='account_id', name='account'): ...": r"^two aggregates are named 'account': .*name=",
    "class Balance2(ReadModel, key='account_id', name='Balance'): account_id: str": (
        r"^two read models are named 'Balance': .*name="
    ),
    "class balance(ReadModel, key='account_id'): account_id: str": r"^two read models' tables are named 'balance'",
    "@answer\nasync def count2(query: Count) -> int: return 1": r"^two queries are named 'Count': .*name=",
    (
        "class Other(Aggregate, key='account_id'):\n"
        "    @handle\n    def deposit(self, command: Deposit) -> Deposited: ..."
    ): r"^two commands are named 'Deposit': .*name=",
    "class Paid(Event, name='Deposited'): account_id: str": r"^two events are named 'Deposited': .*name=",
}


@pytest.mark.parametrize(("code", "sentence"), TWICE.items())
def test_two_components_of_one_stored_name_are_refused(code: str, sentence: str) -> None:
    module = module_of(SLICE, code)
    with pytest.raises(DeclarationError, match=sentence):
        Application("bank", [module])


@pytest.mark.parametrize("wrong", ["Account", 3, object, bank.Deposit], ids=repr)
def test_what_is_no_component_is_refused(wrong: object) -> None:
    with pytest.raises(DeclarationError, match=r"is no component; list aggregates, read models, @answer functions"):
        Application("bank", [wrong])  # pyright: ignore[reportArgumentType]


# --- gaps ------------------------------------------------------------------------------------------------------------


def gaps(code: str) -> tuple[Gap, ...]:
    return Application("bank", [module_of(SLICE, code)]).check()


@pytest.mark.parametrize(
    ("code", "gap"),
    [
        (
            "class Withdraw(Command): account_id: str",
            Gap("error", "Withdraw", "no listed aggregate handles this command; add a @handle method"),
        ),
        (
            "class Total(Query[int]): ...",
            Gap("error", "Total", "no listed function answers this query; add an @answer"),
        ),
        (
            "class Shut(Event, version=2): account_id: str",
            Gap("error", "Shut", "is at version 2 and has no upcaster from version 1"),
        ),
        (
            (
                "class Shut(Event, version=3): account_id: str\n"
                "@upcast(Shut, from_version=1)\ndef older(data): return data"
            ),
            Gap("error", "Shut", "is at version 3 and has no upcaster from version 2"),
        ),
        ("class Shut(Event): account_id: str", Gap("note", "Shut", "nothing applies or folds this event")),
        (
            (
                "class Unseen(ReadModel, key='account_id'):\n"
                "    account_id: str\n"
                "    @on(Deposited)\n    def deposited(self, event: Deposited) -> None: ..."
            ),
            Gap("note", "Unseen", "no answer views this read model"),
        ),
    ],
)
def test_every_gap_is_named(code: str, gap: Gap) -> None:
    assert gap in gaps(code)
    assert gap not in gaps("")


def test_errors_come_before_notes() -> None:
    found = gaps("class Shut(Event): account_id: str\nclass Withdraw(Command): account_id: str")
    assert [gap.severity for gap in found] == ["error", "note"]


def test_an_application_says_its_name() -> None:
    assert repr(bank.app) == "<Application bank>"


UNFIT_FIELDS = {
    "ratio: complex": (
        "Wrong.ratio: JSON can't hold <class 'complex'>; use plain values, enums of text or of whole numbers, "
        "dataclasses, and lists and dicts of them"
    ),
    "at: 'datetme'": (
        "Wrong: the annotation names 'datetme', which its module does not have; "
        "import it (not only under TYPE_CHECKING) or define the class at module level"
    ),
}
USES = {
    "Command": "class A(Aggregate, key='account_id'):\n    @handle\n    def f(self, command: Wrong) -> None: ...",
    "Event": "",
    "Query[int]": "@answer\nasync def wrong(query: Wrong) -> int: return 1",
}


@pytest.mark.parametrize(("field", "sentence"), UNFIT_FIELDS.items())
@pytest.mark.parametrize(("base", "use"), USES.items())
def test_a_message_with_a_field_that_no_message_can_hold_is_refused(
    base: str, use: str, field: str, sentence: str
) -> None:
    module = module_of(f"class Wrong({base}):\n    account_id: str\n    {field}", use)
    with pytest.raises(DeclarationError) as mistake:
        Application("bank", [module])
    assert str(mistake.value) == sentence


def part(*names: str) -> tuple[list[str], list[str], list[str]]:
    """Aggregates, read models and queries of the shop that a service with these names runs."""
    found = shop.app.only(names)
    return list(found.aggregates), list(found.read_models), list(found.queries)


@pytest.mark.parametrize("name", ["CreditNote", "creditnote"])
def test_a_named_aggregate_brings_its_commands_alone(name: str) -> None:
    assert part(name) == (["creditnote"], [], [])
    assert list(shop.app.only([name]).commands) == ["IssueCreditNote"]


def test_a_named_read_model_brings_the_queries_that_view_no_other() -> None:
    assert part("RevenueByCountry", "CustomerHistory") == (
        [],
        ["RevenueByCountry", "CustomerHistory"],
        ["Countries", "CustomerById", "Customers"],
    )


def test_a_named_query_brings_the_read_models_that_it_views_and_no_other_query() -> None:
    assert part("BestSellers") == ([], ["SalesPerProduct"], ["BestSellers"])


def test_a_query_of_two_read_models_comes_when_both_are_named() -> None:
    both = "@answer\nasync def both(query: Both, a: View[One], b: View[Two]) -> int: return 1"
    models = [
        f"class {name}(ReadModel, key='account_id'):\n    account_id: str\n"
        f"    @on(AccountOpened)\n    def opened(self, event: AccountOpened) -> None: ..."
        for name in ("One", "Two")
    ]
    app = Application("bank", [module_of(*models, "class Both(Query[int]): ...", both)])
    assert list(app.only(["One"]).queries) == []
    assert list(app.only(["One", "Two"]).queries) == ["Both"]


def test_every_part_reads_the_whole_log() -> None:
    assert set(shop.app.only(["Product"]).events) == set(shop.app.events)
    assert shop.app.only(["Product"]).name == "shop"


def test_a_read_model_folds_alike_in_every_part() -> None:
    whole, alone = shop.app.read_models["OrderDetails"], shop.app.only(["OrderDetails"]).read_models["OrderDetails"]
    assert alone.table == whole.table


def test_what_a_part_leaves_out_is_another_services_and_not_unknown() -> None:
    found = shop.app.only(["Product", "BestSellers"])
    with pytest.raises(WrongServiceError) as mistake:
        found.command_named("IssueCreditNote")
    assert str(mistake.value) == (
        "this service has only Product, BestSellers; nothing was done (send it to the service that includes the "
        "command 'IssueCreditNote')"
    )
    with pytest.raises(WrongServiceError, match="the query 'Countries'"):
        found.query_named("Countries")
    with pytest.raises(UnknownMessageError) as unknown:
        found.only(["Product"]).command_named("IssueCreditNot")
    assert unknown.value.nearest == "IssueCreditNote"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Ordr", "did you mean Order?"),
        ("zzz", "there are Product, Order, CreditNote, OrderDetails"),
    ],
)
def test_a_name_that_is_no_component_is_refused(name: str, hint: str) -> None:
    with pytest.raises(DeclarationError) as mistake:
        shop.app.only([name])
    assert f"shop has no aggregate, read model or query {name!r}; {hint}" in str(mistake.value)

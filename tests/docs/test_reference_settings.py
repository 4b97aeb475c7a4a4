"""docs/reference/settings.md lists every setting, with its default and its unit."""

import dataclasses

from tests.docs.pages import page, rows
from twofold import Settings
from twofold.settings import variable_of

UNITS = {"_s": "seconds", "_bytes": "bytes"}


def documented() -> dict[str, list[str]]:
    return {cells[0].strip("`"): cells for cells in rows(page("reference/settings.md"))}


def shown(default: object) -> str:
    if default == "":
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_is_documented_in_order_and_nothing_else() -> None:
    assert list(documented()) == [variable_of(field.name) for field in dataclasses.fields(Settings)]


def test_every_setting_has_its_field_and_its_default() -> None:
    for field in dataclasses.fields(Settings):
        _, name, default, *_ = documented()[variable_of(field.name)]
        assert (name, default) == (f"`{field.name}`", shown(field.default))


def test_every_setting_has_a_unit_that_its_name_says_and_a_meaning() -> None:
    for field in dataclasses.fields(Settings):
        *_, unit, meaning = documented()[variable_of(field.name)]
        assert unit
        assert len(meaning) > 10
        for ending, said in UNITS.items():
            if field.name.endswith(ending):
                assert unit == said

"""docs/reference/deploy.md lists every key of pyproject.toml that `twofold deploy` reads, with its default."""

import msgspec
import pytest

from tests.docs.pages import page, rows, section
from twofold.deploy.project import DeploySettings, ImageNames, Replicas, ServiceSettings

TEXT = page("reference/deploy.md")
TABLES = ("images",)
"""Keys that are tables with a section of their own."""


def documented(heading: str, *, table: int = 0) -> dict[str, list[str]]:
    texts = section(TEXT, heading).split("| key | default | meaning |")
    return {cells[0].strip("`"): cells for cells in rows(f"| key | default | meaning |{texts[table + 1]}")}


def shown(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return "none"
    return f"`{default}`" if default else "empty"


@pytest.mark.parametrize(
    ("kind", "heading", "table"),
    [
        (DeploySettings, "Names and places", 0),
        (ImageNames, "Images of others", 0),
        (ServiceSettings, "Services", 0),
        (Replicas, "Services", 1),
    ],
)
def test_every_key_is_documented_with_its_default_and_nothing_else(
    kind: type[msgspec.Struct], heading: str, table: int
) -> None:
    fields = [each for each in msgspec.structs.fields(kind) if each.name not in TABLES]
    found = documented(heading, table=table)
    assert {name: cells[1] for name, cells in found.items()} == {each.name: shown(each) for each in fields}
    assert all(len(cells[2]) > 3 for cells in found.values())


def test_the_tables_themselves_are_named() -> None:
    for name in ("settings", "deploy", "deploy.images", "services.NAME"):
        assert f"`[tool.twofold.{name}]`" in TEXT

"""docs/reference/errors.md lists every error, with its code, its class, what it means over HTTP and to a shell."""

import re
from collections.abc import Iterator

from tests.docs.pages import page, rows
from twofold import errors
from twofold.cli.program import exit_code
from twofold.errors import TwofoldError
from twofold.http.problems import MEANINGS, HttpError, meaning_of

TEXT = page("reference/errors.md")


def tree(kind: type[TwofoldError]) -> Iterator[type[TwofoldError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


def domain_errors() -> list[type[TwofoldError]]:
    return [each for each in tree(TwofoldError) if each.__module__ == errors.__name__]


def http_errors() -> list[type[TwofoldError]]:
    return [each for each in tree(TwofoldError) if each.__module__ == HttpError.__module__]


def documented() -> dict[str, list[str]]:
    """By the name of its class: the code's cell, the HTTP status' if it has one, the meaning …"""
    lines = [cells for cells in rows(TEXT) if len(cells) > 2 and re.fullmatch(r"`\w+`", cells[1])]
    return {cells[1].strip("`"): [cells[0], *cells[2:]] for cells in lines}


def documented_statuses() -> dict[str, int]:
    """Of the codes that there are over HTTP alone."""
    lines = [cells for cells in rows(TEXT) if len(cells) == 3 and re.fullmatch(r"\d{3}", cells[1])]
    return {code: int(cells[1]) for cells in lines for code in re.findall(r"`([^`]+)`", cells[0])}


def test_every_error_is_documented_with_its_code_and_nothing_else() -> None:
    assert set(documented()) == {each.__name__ for each in domain_errors()}
    for each in domain_errors():
        assert f"`{each.code}`" in documented()[each.__name__][0]


def test_every_error_that_a_client_can_meet_has_its_http_status() -> None:
    while_starting = {errors.DeclarationError, errors.SettingsError}
    for each in domain_errors():
        if each not in while_starting:
            assert documented()[each.__name__][1] == str(meaning_of(each).status), each.__name__


def test_every_code_that_there_is_over_http_alone_has_its_status() -> None:
    shown = documented_statuses()
    for each in http_errors():
        assert shown.pop(each.code) == MEANINGS.get(each, meaning_of(each)).status
    assert shown.pop("unknown-command") == shown.pop("unknown-query") == meaning_of(errors.UnknownMessageError).status
    assert shown.pop("unauthorized") == 401
    assert not shown


def test_the_drawing_shows_every_branch() -> None:
    drawn = re.findall(r"── (\w+)", TEXT)
    assert drawn == [each.__name__ for each in TwofoldError.__subclasses__() if each in domain_errors()]


def test_the_exit_codes_are_as_the_page_says() -> None:
    not_found = {errors.UnknownReadModelError, errors.UnknownStreamError}
    usage = {errors.SettingsError, *tree(errors.InvalidInputError)}
    expected = dict.fromkeys(domain_errors(), 1) | dict.fromkeys(usage, 2) | dict.fromkeys(not_found, 3)
    expected[errors.UnknownSchemaError] = 4
    assert {each: exit_code(each.__new__(each)) for each in expected} == expected

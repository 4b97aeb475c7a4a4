import sys

import pytest

from twofold.cli.output import print_table, progress_bar


def test_numbers_stand_to_the_right_and_text_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "events", "state"), [("Balance", 1_200, "running"), ("Orders", 7, "failed")])
    assert capsys.readouterr().out == ("name     events  state\nBalance   1,200  running\nOrders        7  failed\n")


def test_an_empty_table_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "state"), [])
    assert capsys.readouterr().out == "name  state\n"


def test_progress_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("folding") as show:
        show(1, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_progress_is_drawn_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("folding") as show:
        show(500, 1_000)
        show(1_000, 1_000)
    captured = capsys.readouterr()
    assert "folding" in captured.err
    assert "1000/1000" in captured.err
    assert captured.out == ""

import json
from pathlib import Path

from tests.unit.cli.conftest import Twofold

GAPS = """
from twofold import Aggregate, Application, Command, Event, handle

class Open(Command):
    order_id: str

class Forgotten(Command):
    order_id: str

class Opened(Event):
    order_id: str

class Order(Aggregate, key="order_id"):
    @handle(creates=True)
    def open(self, command: Open) -> Opened:
        return Opened(order_id=command.order_id)

app = Application("gaps", [Order])
notes = Application("notes", [Order])
"""


def test_an_application_without_gaps_is_counted(twofold: Twofold) -> None:
    done = twofold("check", "examples.bank:app")
    assert done.exit_code == 0
    assert done.stdout == ("bank: 1 aggregate, 2 commands, 2 events, 1 read model, 1 query; 0 errors, 0 notes\n")


def test_an_error_fails(folder: Path, twofold: Twofold) -> None:
    (folder / "with_gaps.py").write_text(GAPS)
    done = twofold("check", "with_gaps:app")
    assert done.exit_code == 1
    assert "error  Forgotten" in done.stdout
    assert "note   Opened" in done.stdout
    assert done.stdout.endswith("1 error, 1 note\n")


def test_a_note_does_not_fail(folder: Path, twofold: Twofold) -> None:
    (folder / "with_notes.py").write_text(GAPS.replace("class Forgotten(Command):\n    order_id: str\n", ""))
    done = twofold("check", "with_notes:app", "--json")
    assert done.exit_code == 0
    (gap,) = json.loads(done.stdout)
    assert (gap["severity"], gap["component"]) == ("note", "Opened")

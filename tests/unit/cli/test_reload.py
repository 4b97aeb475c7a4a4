import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twofold.cli.reload import Lifeline, python_files

SUPERVISE = """
import sys
from pathlib import Path
from twofold.cli.reload import Lifeline, Supervisor
lifeline = Lifeline()
command = [sys.executable, "-c", sys.argv[1], str(lifeline.child_end)]
Supervisor(command, inherited=[lifeline.child_end], folder=Path.cwd()).run()
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path
from twofold.cli.reload import Lifeline
Lifeline.hold(int(sys.argv[1]))
def stop(*_):
    Path(f"stopped-{os.getpid()}").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
Path(f"started-{os.getpid()}").touch()
if Path("fails").exists():
    sys.exit(1)
for _ in range(600):
    time.sleep(0.1)
"""

WITHIN_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_at, f"{what}: not within {WITHIN_S} seconds"
        time.sleep(0.02)


def named(folder: Path, prefix: str) -> set[str]:
    return {path.name.removeprefix(prefix) for path in folder.glob(f"{prefix}*")}


@pytest.fixture
def supervisor(folder: Path) -> Iterator[subprocess.Popen[str]]:
    (folder / "app.py").touch()
    process = subprocess.Popen([sys.executable, "-c", SUPERVISE, CHILD], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: len(named(folder, "started-")) == 1, "the child starts")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_python_files_are_watched_but_not_hidden_ones_nor_environments(folder: Path) -> None:
    for path in ("a.py", "b/c.py", "b/notes.txt", ".hidden/d.py", "__pycache__/e.py", "env/pyvenv.cfg", "env/f.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    assert {os.path.relpath(path, folder) for path, _ in python_files(folder)} == {"a.py", "b/c.py"}


@pytest.mark.parametrize("change", ["written", "new", "gone"])
def test_a_changed_file_ends_the_child_in_good_order_and_starts_another(
    folder: Path, supervisor: subprocess.Popen[str], change: str
) -> None:
    (first,) = named(folder, "started-")
    match change:
        case "written":
            os.utime(folder / "app.py", ns=(1, 1))
        case "new":
            (folder / "more.py").touch()
        case _:
            (folder / "app.py").unlink()
    until(lambda: len(named(folder, "started-")) == 2, "another child starts")
    assert named(folder, "stopped-") == {first}
    supervisor.terminate()
    assert supervisor.wait(WITHIN_S) == 0
    assert named(folder, "stopped-") == named(folder, "started-")


def test_a_child_that_fails_is_started_again_when_a_file_changes(
    folder: Path, supervisor: subprocess.Popen[str]
) -> None:
    (folder / "fails").touch()
    os.utime(folder / "app.py", ns=(1, 1))
    until(lambda: len(named(folder, "started-")) == 2, "the failing child starts")
    assert supervisor.stderr is not None
    while "waiting for a change" not in supervisor.stderr.readline():
        pass
    assert supervisor.poll() is None, "the supervisor stays"
    (folder / "fails").unlink()
    os.utime(folder / "app.py", ns=(2, 2))
    until(lambda: len(named(folder, "started-")) == 3, "it starts again")


def test_the_child_ends_when_its_supervisor_is_killed(folder: Path, supervisor: subprocess.Popen[str]) -> None:
    supervisor.kill()
    until(lambda: named(folder, "stopped-") == named(folder, "started-"), "the child ends")


def test_ctrl_c_ends_both(folder: Path, supervisor: subprocess.Popen[str]) -> None:
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(WITHIN_S) == 0
    assert named(folder, "stopped-") == named(folder, "started-")


def test_the_lifeline_is_for_the_child_alone() -> None:
    lifeline = Lifeline()
    assert not os.get_inheritable(lifeline.child_end)
    os.close(lifeline.child_end)

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.cli_process import Service, environment, twofold


@pytest.fixture
def project(tmp_path: Path) -> Path:
    twofold("new", "my_shop", cwd=tmp_path)
    return tmp_path / "my_shop"


def test_the_tests_of_a_new_project_pass(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_a_new_project_has_no_gaps(project: Path) -> None:
    assert "0 errors, 0 notes" in twofold("check", cwd=project).stdout


def test_a_new_project_runs_and_answers(project: Path) -> None:
    (project / ".twofold").mkdir()
    service = Service.start(["dev", "--no-reload"], cwd=project, folder=project / ".twofold")
    try:
        done = service.send("AddTask", task_id="t1", title="write")
        assert done == {"stream": "task-t1", "version": 1, "position": 1, "events": ["TaskAdded"]}
        assert service.ask("OpenTasks", after=1) == [{"task_id": "t1", "title": "write"}]
        (line,) = twofold("events", "tail", "--json", cwd=project).stdout.splitlines()
        assert json.loads(line)["data"] == {"task_id": "t1", "title": "write"}
        assert twofold("doctor", cwd=project).stdout.count("fail") == 0
    finally:
        service.stop()
    assert service.process.returncode == 0

"""`twofold doctor` beside each service: only the environment to go by, only the service's user, nothing to write to."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.system.cli_process import environment
from tests.system.services.cluster import APP, USERS, Cluster

STORES = {"command": ["EVENT_LOG"], "query": ["READ_STORE"], "projector": ["EVENT_LOG", "READ_STORE"]}


def doctor(role: str, settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """As in a container: no shell, no HOME, a folder that can't be written."""
    folder.chmod(0o555)
    bare = {"PATH": "/nowhere", "HOME": "/nowhere", "TWOFOLD_APP": APP}
    inherited = environment(**settings)
    kept = {name: value for name, value in inherited.items() if name.startswith(("TWOFOLD_", "PYTHONPATH"))}
    return subprocess.run(
        [sys.executable, "-m", "twofold", "doctor", "--role", role],
        env={**kept, **bare, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings_of(cluster: Cluster, role: str, *, user: str | None = None) -> dict[str, str]:
    """Only the stores that the role has, as in the generated containers."""
    url = cluster.server.url(cluster.database, user or USERS[role])
    return {f"TWOFOLD_{store}": url for store in STORES[role]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    made.mkdir()
    return made


@pytest.mark.parametrize("role", STORES)
def test_a_services_doctor_needs_no_more_rights_than_the_service(cluster: Cluster, role: str, folder: Path) -> None:
    cluster.start(projector=1)  # there are rows to look at
    done = doctor(role, settings_of(cluster, role), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    warned = [line for line in lines if line.startswith("warn ")]
    assert [line for line in warned if "fsync is off" not in line and "full_page_writes is off" not in line] == []
    looked_at = {line.removeprefix("ok    ").partition(":")[0] for line in lines}
    assert ("event log" in looked_at) is ("EVENT_LOG" in STORES[role])
    assert ("read store" in looked_at or role == "projector") is ("READ_STORE" in STORES[role])
    assert ("Journal" in looked_at) is ("READ_STORE" in STORES[role])
    assert os.listdir(folder) == []


def test_a_setting_that_is_missing_is_named_with_what_to_do(folder: Path) -> None:
    done = doctor("query", {}, folder)
    assert done.returncode == 1
    assert "fail  settings: TWOFOLD_READ_STORE is" in done.stdout
    assert "→ the role query needs PostgreSQL: set TWOFOLD_READ_STORE=postgresql://" in done.stdout


@pytest.mark.parametrize("role", STORES)
def test_a_login_without_its_rights_is_found(cluster: Cluster, role: str, folder: Path) -> None:
    cluster.start(projector=1)
    cluster.server.sql(f"drop role if exists stranger_{role}; create role stranger_{role} login")
    done = doctor(role, settings_of(cluster, role, user=f"stranger_{role}"), folder)
    assert done.returncode == 1, done.stdout
    assert "fail  " in done.stdout
    assert "permission denied" in done.stdout or "may not" in done.stdout, done.stdout
    assert "Traceback" not in done.stderr


def test_a_user_with_too_many_rights_is_a_warning_that_says_what_to_do(cluster: Cluster, folder: Path) -> None:
    done = doctor("command", settings_of(cluster, "command", user="postgres"), folder)
    assert done.returncode == 0, done.stdout
    assert "warn  event log: the user postgres could change events" in done.stdout
    assert "twofold schema roles" in done.stdout


def test_a_server_that_is_gone_is_found_within_its_time(folder: Path) -> None:
    gone = {"TWOFOLD_EVENT_LOG": "postgresql://bank@127.0.0.1:9/bank", "TWOFOLD_STORE_TIMEOUT_S": "1"}
    done = doctor("command", gone, folder)
    assert done.returncode == 1
    assert "fail  event log: " in done.stdout

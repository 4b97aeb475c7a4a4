"""`roll.sh`, the real script on a Docker that only remembers: what it does, in which order, and what it says."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from twofold.deploy.compose import compose_files
from twofold.deploy.project import ImageNames
from twofold.deploy.topology import UNKNOWN_SCHEMA_EXIT, Topology

SERVICES = ("projector", "query", "command")


@dataclass
class Machine:
    """Where the shop runs at 1.0.0, two containers of each service."""

    folder: Path

    @property
    def containers(self) -> Path:
        return self.folder / "containers"

    def run(self, service: str, count: int = 2, tag: str = "1.0.0") -> None:
        for number in range(10, 10 + count):  # no name is the beginning of another, as with ids
            (self.containers / f"{service}.{number}").write_text(f"{tag}\n")

    def stop(self, service: str) -> None:
        for each in self.containers.glob(f"{service}.*"):
            each.unlink()

    def roll(self, tag: str, **variables: str) -> subprocess.CompletedProcess[str]:
        found = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        own = {"PATH": found, "STATE": str(self.folder), "PATIENCE_S": "0", **variables}
        return subprocess.run(
            [self.folder / "roll.sh", tag], env=own, capture_output=True, text=True, timeout=30, check=False
        )

    def tags(self, service: str) -> Counter[str]:
        """How many containers there are at each tag."""
        return Counter(each.read_text().strip() for each in self.containers.glob(f"{service}.*"))

    def calls(self) -> Sequence[str]:
        """What Docker was asked, that isn't only looking."""
        looking = ("ps ", "inspect ", "image inspect", "compose version")
        calls = (self.folder / "calls").read_text().splitlines()
        return [each for each in calls if not each.startswith(looking)]

    @property
    def recorded_tag(self) -> str:
        (line,) = (each for each in (self.folder / ".env").read_text().splitlines() if each.startswith("TAG="))
        return line.removeprefix("TAG=")


@pytest.fixture
def machine(plain: Topology, tmp_path: Path) -> Machine:
    files = compose_files(plain, tag="1.0.0", context="..", dockerfile="deploy/Dockerfile", images=ImageNames())
    for name in (".env", "roll.sh"):
        (tmp_path / name).write_text(files[name])
    for name in ("bin", "containers"):
        (tmp_path / name).mkdir()
    shutil.copy(Path(__file__).with_name("fake_docker.sh"), tmp_path / "bin" / "docker")
    for name in ("roll.sh", "bin/docker"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "number").write_text("50")
    made = Machine(tmp_path)
    for service in SERVICES:
        made.run(service)
    made.run("gateway", count=1)
    return made


def test_every_service_goes_over_to_as_many_containers_of_the_tag(machine: Machine) -> None:
    done = machine.roll("1.1.0")
    assert done.returncode == 0, done.stderr
    assert [machine.tags(each) for each in SERVICES] == [{"1.1.0": 2}] * 3
    assert machine.recorded_tag == "1.1.0"


def test_a_service_that_is_stopped_is_named_and_nothing_is_changed(machine: Machine) -> None:
    machine.stop("command")
    done = machine.roll("1.1.0")
    assert done.returncode == 1
    assert "command has no running container" in done.stderr
    assert "docker compose up --detach --no-deps command" in done.stderr
    assert machine.calls() == []


def test_a_gateway_that_is_stopped_is_in_nobodys_way(machine: Machine) -> None:
    machine.stop("gateway")
    done = machine.roll("1.1.0")
    assert done.returncode == 0, done.stderr
    assert machine.recorded_tag == "1.1.0"


def test_when_the_first_service_does_not_come_up_all_is_as_it_was(machine: Machine) -> None:
    done = machine.roll("1.1.0", SICK="projector")
    assert done.returncode == 1
    assert "projector: no new container is healthy within 0 seconds; the old ones stay" in done.stderr
    assert "./roll.sh" not in done.stderr, "there is nothing to roll back"
    assert [machine.tags(each) for each in SERVICES] == [{"1.0.0": 2}] * 3


def test_when_a_later_service_does_not_come_up_it_is_said_what_is_new_and_how_to_go_back(machine: Machine) -> None:
    done = machine.roll("1.1.0", SICK="command")
    assert done.returncode == 1
    assert "command: no new container is healthy within 0 seconds; the old ones stay" in done.stderr
    assert "at 1.1.0 already: projector query; run ./roll.sh 1.0.0 to bring them back" in done.stderr
    assert machine.recorded_tag == "1.0.0"
    assert machine.roll("1.0.0").returncode == 0
    assert [machine.tags(each) for each in SERVICES] == [{"1.0.0": 2}] * 3


def test_containers_that_docker_can_not_start_are_removed_and_told_of(machine: Machine) -> None:
    done = machine.roll("1.1.0", FAILS_TO_START="query")
    assert done.returncode == 1
    assert "query: no new container is healthy" in done.stderr
    assert "at 1.1.0 already: projector; run ./roll.sh 1.0.0" in done.stderr
    assert machine.tags("query") == {"1.0.0": 2}


def test_a_release_that_is_older_than_the_schema_ends_at_once_and_says_what_to_do(machine: Machine) -> None:
    done = machine.roll("0.9.0", MIGRATE_EXIT=str(UNKNOWN_SCHEMA_EXIT))
    assert done.returncode == UNKNOWN_SCHEMA_EXIT
    assert "the schema is newer than 0.9.0; no service was changed" in done.stderr
    assert "roll forward" in done.stderr
    assert machine.calls() == ["compose run --rm --no-deps migrate"]


def test_a_migration_that_fails_changes_no_service(machine: Machine) -> None:
    done = machine.roll("1.1.0", MIGRATE_EXIT="1")
    assert done.returncode == 1
    assert "the schema could not be migrated; no service was changed" in done.stderr
    assert "newer" not in done.stderr
    assert machine.calls() == ["compose run --rm --no-deps migrate"]

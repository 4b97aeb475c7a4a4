"""The pipeline's last job, its real scripts on a kubectl that only remembers: what is undone, and what stays."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from twofold.deploy.pipeline import pipeline_files
from twofold.deploy.topology import Topology

Run = Callable[..., subprocess.CompletedProcess[str]]

DEPLOYMENTS = ("shop-command", "shop-query", "shop-projector", "shop-gateway")


def job(topology: Topology) -> dict[str, Any]:
    text = pipeline_files(topology, kubernetes="deploy/k8s")["deploy.yaml"]
    return yaml.safe_load(text)["jobs"]["deploy"]


def runner(folder: Path, script: str) -> Run:
    """Runs the script as GitHub does; more than a few seconds would be a wait for what never comes."""

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STATE": str(folder), "RUNNER_TEMP": str(folder)}
        words = ["bash", "-e", "-c", script]
        return subprocess.run(
            words, cwd=folder, env=own | variables, capture_output=True, text=True, timeout=20, check=False
        )

    return run


def calls(folder: Path, *words: str) -> Sequence[str]:
    """What kubectl was asked that has all the words, in order."""
    found = (folder / "calls").read_text().splitlines()
    return [each for each in found if all(word in each for word in words)]


@pytest.fixture
def deploy(plain: Topology, tmp_path: Path) -> Run:
    """The step that applies the manifests."""
    (tmp_path / "bin").mkdir()
    shutil.copy(Path(__file__).with_name("fake_kubectl.sh"), tmp_path / "bin" / "kubectl")
    (tmp_path / "bin" / "kubectl").chmod(0o755)
    run = runner(tmp_path, job(plain)["steps"][-1]["run"])
    return lambda **variables: run(KUBECONFIG_TEXT="a secret", **variables)


# --- what comes up, and what does not ---


def test_the_schema_is_migrated_before_any_service_changes(deploy: Run, tmp_path: Path) -> None:
    done = deploy()
    assert done.returncode == 0, done.stderr
    first, second = calls(tmp_path, "apply")
    assert f"--selector app.kubernetes.io/name notin ({','.join(DEPLOYMENTS)})" in first
    assert "--selector" not in second
    found = calls(tmp_path)
    (awaited,) = calls(tmp_path, "condition=complete")
    assert found.index(first) < found.index(awaited) < found.index(second)
    assert [each.rpartition("/")[2] for each in calls(tmp_path, "rollout status")] == list(DEPLOYMENTS)
    assert calls(tmp_path, "rollout undo") == []


def test_a_migration_that_fails_ends_at_once_with_its_logs_and_no_service_changes(deploy: Run, tmp_path: Path) -> None:
    done = deploy(MIGRATION="failed")
    assert done.returncode == 1
    assert "the schema was not migrated; no service was changed" in done.stdout
    assert len(calls(tmp_path, "apply")) == 1
    assert len(calls(tmp_path, "logs", "shop-migrate")) == 1
    assert calls(tmp_path, "rollout") == []


def test_a_rollout_that_does_not_come_up_goes_back_to_the_revisions_from_before(deploy: Run, tmp_path: Path) -> None:
    """To a revision by its number: kubectl leaves alone what is at it already."""
    done = deploy(SICK="shop-query")
    assert done.returncode == 1
    undone = calls(tmp_path, "rollout undo")
    assert [each.rpartition("/")[2] for each in undone] == list(DEPLOYMENTS)
    assert all("--to-revision 7 " in each for each in undone)
    found = calls(tmp_path)
    noted = [found.index(each) for each in calls(tmp_path, "get deployment/")]
    assert max(noted) < found.index(calls(tmp_path, "apply")[1])


def test_a_deployment_that_was_not_there_before_is_not_undone(deploy: Run, tmp_path: Path) -> None:
    done = deploy(SICK="shop-query", NEW="shop-query")
    assert done.returncode == 1
    undone = [each.rpartition("/")[2] for each in calls(tmp_path, "rollout undo")]
    assert undone == [each for each in DEPLOYMENTS if each != "shop-query"]


def test_one_that_can_not_be_undone_does_not_keep_the_others(deploy: Run, tmp_path: Path) -> None:
    done = deploy(SICK="shop-query", STUCK="shop-command")
    assert done.returncode == 1
    assert "shop-command could not be undone" in done.stdout
    assert len(calls(tmp_path, "rollout undo")) == len(DEPLOYMENTS)


def test_there_is_time_to_undo(plain: Topology, deploy: Run, tmp_path: Path) -> None:
    """All that is waited for ends ten minutes before GitHub ends the job: setting up takes some of them."""
    assert deploy().returncode == 0
    (migration_m,) = {int(each) for each in re.findall(r"wait .*--timeout (\d+)m ", "\n".join(calls(tmp_path)))}
    limits_s = [int(each) for each in re.findall(r"status --timeout (\d+)s ", "\n".join(calls(tmp_path)))]
    assert len(limits_s) == len(DEPLOYMENTS)
    assert limits_s == sorted(limits_s, reverse=True), "one limit for all, and not one for each"
    assert migration_m + limits_s[0] / 60 <= job(plain)["timeout-minutes"] - 10


# --- going back by hand ---


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    return git


@pytest.fixture
def commits(git: Callable[..., str], tmp_path: Path) -> list[str]:
    """Two of main, and one of a branch beside it. Main is checked out."""
    git("init", "--quiet", "--initial-branch", "main")
    found: list[str] = []
    for name in ("first", "second", "beside"):
        if name == "beside":
            git("checkout", "--quiet", "-b", "beside")
        (tmp_path / "code").write_text(name)
        git("add", "code")
        git("commit", "--quiet", "--message", name)
        found.append(git("rev-parse", "HEAD"))
    git("checkout", "--quiet", "main")
    return found


@pytest.fixture
def go_back(plain: Topology, tmp_path: Path) -> Run:
    """The step that goes to the tag's commit."""
    (step,) = (each for each in job(plain)["steps"] if each.get("if") == "inputs.tag")
    return runner(tmp_path, step["run"])


def test_a_tag_that_was_deployed_before_is_deployed_with_the_code_of_its_commit(
    go_back: Run, commits: list[str], tmp_path: Path
) -> None:
    done = go_back(TAG=f"1.4.0-rc-1-{commits[0][:12]}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "code").read_text() == "first"


@pytest.mark.parametrize("end", ["main", "000000000000", "dirty", "--all"])
def test_a_tag_without_a_commit_is_refused(end: str, go_back: Run, commits: list[str], tmp_path: Path) -> None:
    done = go_back(TAG=f"1.4.0-{end}")
    assert done.returncode == 1
    assert f"1.4.0-{end} does not end in a commit of this branch; nothing was deployed" in done.stdout
    assert (tmp_path / "code").read_text() == "second"


def test_a_commit_that_never_came_to_the_branch_is_refused(go_back: Run, commits: list[str]) -> None:
    done = go_back(TAG=f"1.4.0-{commits[2][:12]}")
    assert done.returncode == 1


def test_the_history_is_there_when_a_tag_is_looked_for(plain: Topology) -> None:
    (checkout, looked_for, *_) = job(plain)["steps"]
    assert checkout["with"] == {"fetch-depth": 0}
    assert looked_for["if"] == "inputs.tag"

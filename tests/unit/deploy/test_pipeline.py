"""The pipeline: every stage is there, secrets are references, and its shell is shell."""

import subprocess
from typing import Any

import yaml

from twofold.deploy.pipeline import pipeline_files
from twofold.deploy.topology import Topology


def workflow(topology: Topology) -> dict[str, Any]:
    return yaml.safe_load(pipeline_files(topology, kubernetes="deploy/k8s")["deploy.yaml"])


def scripts(topology: Topology) -> list[str]:
    return [step["run"] for job in workflow(topology)["jobs"].values() for step in job["steps"] if "run" in step]


def test_it_tests_builds_and_deploys(topology: Topology) -> None:
    jobs = workflow(topology)["jobs"]
    assert list(jobs) == ["test", "build", "deploy"]
    assert jobs["build"]["needs"] == "test"
    assert jobs["deploy"]["needs"] == "build"


def test_every_image_is_scanned_and_pushed(split: Topology) -> None:
    steps = workflow(split)["jobs"]["build"]["steps"]
    scanned = [step["with"]["image-ref"] for step in steps if "trivy" in step.get("uses", "")]
    images = [split.image(role) for role in split.roles]
    assert scanned == [f"{image}:${{{{ steps.build.outputs.tag }}}}" for image in images]
    assert all(image in steps[-1]["run"] for image in images)


def test_any_tag_can_be_deployed_again(topology: Topology) -> None:
    found = workflow(topology)
    assert found["on"]["workflow_dispatch"]["inputs"]["tag"]["required"] is True
    assert found["jobs"]["deploy"]["steps"][-2]["env"]["TAG"] == "${{ inputs.tag || needs.build.outputs.tag }}"


def test_a_rollout_that_does_not_come_up_is_undone(split: Topology) -> None:
    script = scripts(split)[-1]
    assert "rollout undo" in script
    assert all(f"shop-{each.name}" in script for each in split.services)


def test_no_expression_is_pasted_into_a_script_that_a_stranger_could_choose(topology: Topology) -> None:
    for script in scripts(topology):
        assert "${{ inputs" not in script
        assert "${{ github" not in script
        assert "${{ secrets" not in script


def test_every_script_is_one(split: Topology) -> None:
    for script in scripts(split):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr

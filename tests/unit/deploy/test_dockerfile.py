"""One Dockerfile for every role: what is in it, and that hadolint has nothing to say."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from examples import shop
from tests.conftest import FindTool
from tests.unit.deploy.projects import PLAIN, project_of, topology_of
from twofold.deploy.dockerfile import build_command, image_files
from twofold.deploy.topology import Topology
from twofold.errors import SettingsError
from twofold.settings import Role, Settings

BASE = "python:3.13-slim"


def dockerfile(topology: Topology) -> str:
    return image_files(topology, out="deploy", base=BASE)["deploy/Dockerfile"]


def stages(text: str) -> dict[str, str]:
    """The instructions of each stage, by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_there_is_a_target_for_each_role(plain: Topology) -> None:
    assert list(stages(dockerfile(plain))) == ["build", "with-postgres", "command", "query", "projector"]


@pytest.mark.parametrize("role", ["command", "query", "projector"])
def test_an_image_is_copied_together_and_runs_nothing(plain: Topology, role: str) -> None:
    text = stages(dockerfile(plain))[role]
    assert not re.search(r"^RUN", text, re.MULTILINE)
    assert "USER 10001:10001" in text
    assert 'ENTRYPOINT ["/venv/bin/python", "-m", "twofold"]' in text
    assert f'CMD ["serve", "{role}"]' in text
    assert all(f"org.opencontainers.image.{each}=" in text for each in ("title", "description", "version", "revision"))


def test_nothing_needs_more_than_the_classic_builder(plain: Topology) -> None:
    text = dockerfile(plain)
    assert "--mount" not in text
    assert "--chmod" not in text
    assert "<<" not in text
    assert not text.startswith("# syntax=")


def test_what_pip_may_be_told_is_known_where_pip_runs(plain: Topology) -> None:
    """The classic builder forgets arguments at the end of their stage; pip then asks an index that is not there."""
    (installing,) = [each for each in stages(dockerfile(plain)).values() if '"install"' in each]
    before_pip = installing.partition('"install"')[0]
    assert re.findall(r"^ARG (\w+)=$", before_pip, re.MULTILINE) == ["PIP_NO_INDEX", "PIP_INDEX_URL"]


def test_every_form_is_the_one_without_a_shell(plain: Topology) -> None:
    for form in re.findall(r"^(?:ENTRYPOINT|CMD|HEALTHCHECK .* CMD) (.*)$", dockerfile(plain), re.MULTILINE):
        assert isinstance(json.loads(form), list)


def test_the_health_check_is_python(plain: Topology) -> None:
    (_, *options, code) = json.loads(re.findall(r"^HEALTHCHECK .* CMD (.*)$", dockerfile(plain), re.MULTILINE)[0])
    assert options == ["-I", "-S", "-c"]
    compile(code, "health", "exec")


def test_settings_in_the_images_are_settings(plain: Topology) -> None:
    variables = re.findall(r"\b(TWOFOLD_\w+)=(\S+)", dockerfile(plain))
    assert Settings.from_environment(dict(variables)).http_host == "0.0.0.0"


def test_requirements_are_the_extras_and_the_project_s(plain: Topology) -> None:
    text = image_files(plain, out="deploy", base=BASE)["deploy/requirements/postgres.txt"]
    assert text.splitlines()[1:] == [f"twofold[postgres]=={version('twofold')}", "holidays>=0.50"]


@pytest.mark.parametrize(
    "project",
    [
        PLAIN.replace("twofold>=0.1", "twofold[otel,postgres]>=0.1"),
        f"{PLAIN}\n[tool.twofold.settings]\notlp_endpoint = 'http://collector:4318'",
    ],
)
def test_images_send_traces_when_the_project_wants_them(project: str, tmp_path: Path) -> None:
    files = image_files(topology_of(project, tmp_path), out="deploy", base=BASE)
    assert f"twofold[otel,postgres]=={version('twofold')}" in files["deploy/requirements/postgres.txt"].splitlines()


def test_a_lock_file_takes_their_place(tmp_path: Path) -> None:
    lock = "twofold[postgres]==0.1.0 \\\n    --hash=sha256:00\n"
    (tmp_path / "lock.txt").write_text(lock)
    topology = topology_of(f"{PLAIN}\n[tool.twofold.deploy]\nrequirements = 'lock.txt'", tmp_path)
    files = image_files(topology, out="deploy", base=BASE)
    assert files["deploy/requirements/postgres.txt"].endswith(lock)
    assert '"--require-hashes"' in files["deploy/Dockerfile"]


def test_a_lock_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    topology = topology_of(f"{PLAIN}\n[tool.twofold.deploy]\nrequirements = 'lock.txt'", tmp_path)
    with pytest.raises(SettingsError, match=r"requirements: .*lock\.txt can't be read"):
        image_files(topology, out="deploy", base=BASE)


def test_code_is_copied_by_name_and_nothing_else_is_sent(tmp_path: Path) -> None:
    code = ["money.py", "shop", "src/bank"]
    topology = Topology.of("shop:app", shop.app, project_of(PLAIN, tmp_path), code)
    files = image_files(topology, out="ops/deploy", base=BASE)
    copies = re.findall(r"^COPY (?!--from)(.*)$", files["ops/deploy/Dockerfile"], re.MULTILINE)
    assert copies == [
        "ops/deploy/wheels/ /wheels/",
        "ops/deploy/requirements/ /requirements/",
        "money.py /app/money.py",
        "shop/ /app/shop/",
        "src/bank/ /app/bank/",
    ]
    ignored = files[".dockerignore"].splitlines()
    assert ignored[1] == "*"
    assert {line for line in ignored if line.startswith("!")} == {
        "!money.py",
        "!shop",
        "!src/bank",
        "!ops/deploy/wheels",
        "!ops/deploy/requirements",
    }


def test_an_image_without_the_application_is_refused(tmp_path: Path) -> None:
    topology = Topology.of("shop:app", shop.app, project_of(PLAIN, tmp_path), [])
    with pytest.raises(SettingsError, match="images would be without it"):
        image_files(topology, out="deploy", base=BASE)


def test_a_build_names_target_tag_and_commit(plain: Topology) -> None:
    words = build_command(plain, Role.QUERY, out="deploy", tag="1.4.0-abc", revision="abc", base="mine", offline=True)
    assert words == (
        "docker", "build", "--file", "deploy/Dockerfile", "--target", "query", "--tag", "shop-query:1.4.0-abc",
        "--build-arg", "VERSION=1.4.0", "--build-arg", "REVISION=abc", "--build-arg", "BASE=mine",
        "--build-arg", "PIP_NO_INDEX=1", "--network", "none", ".",
    )  # fmt: skip


def test_hadolint_has_nothing_to_say(topology: Topology, tmp_path: Path, find_tool: FindTool) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(dockerfile(topology))
    hadolint = find_tool(str(Path(sys.executable).with_name("hadolint")), "hadolint")
    done = subprocess.run([hadolint, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr

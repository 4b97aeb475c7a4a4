"""pyproject.toml is read strictly: whatever can't be meant is an error that says where."""

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.deploy.projects import PLAIN, SPLIT, project_of
from twofold.deploy.project import Project, commit_of, local_modules, tag_of
from twofold.errors import SettingsError
from twofold.settings import Role


def test_a_project_without_the_file_is_at_its_defaults(tmp_path: Path) -> None:
    project = Project.read(tmp_path)
    assert (project.version, project.services, project.requirements) == ("0.0.0", {}, ())


def test_what_the_file_says_is_read(tmp_path: Path) -> None:
    project = project_of(SPLIT, tmp_path)
    assert (project.version, project.deploy.host) == ("1.4.0", "shop.example.com")
    assert project.services["flash-sale"].role is Role.COMMAND
    assert project.settings == {"log_level": "warning", "drain_timeout_s": 8.5}


def test_twofold_itself_is_no_requirement_of_the_project(tmp_path: Path) -> None:
    assert project_of(PLAIN, tmp_path).requirements == ("holidays>=0.50",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tool.twofold.servces.x]\nrole='query'", "unknown field `servces`; did you mean services?"),
        ("[tool.twofold.deploy]\nregistri='x'", "unknown field `registri`"),
        ("[tool.twofold.deploy.images]\npostgre='x'", "did you mean postgres?"),
        ("[tool.twofold.services.x]\nrole='queries'", "Invalid enum value 'queries'"),
        ("[tool.twofold.services.x]\nrole='all'", 'role = "all" is one process'),
        ("[tool.twofold.services.x]\ninclude=['Order']", "missing required field `role`"),
        ("[tool.twofold.services.x]\nrole='query'\nreplicas={min=3,max=2}", "min 3, max 2; give 1 ≤ min ≤ max"),
        ("[tool.twofold.services.x]\nrole='query'\nreplicas={mim=3}", "did you mean min?"),
        ("[tool.twofold.services.query]\nrole='command'", "named after a role has that role"),
        ("[tool.twofold.services.x]\nrole='query'\ninclude=[]", "includes nothing"),
        ("[tool.twofold.services.x]\nrole='query'\nmemory_mib=8", "memory_mib of at least 64"),
        ("[tool.twofold.services.X_y]\nrole='query'", "'X_y' can't be a name here"),
        ("[tool.twofold.services.gateway]\nrole='query'", "can't be called gateway"),
        ("[tool.twofold.deploy]\nname='Shop'", "'Shop' can't be a name here"),
        ("[tool", "can't be read"),
    ],
)
def test_what_can_not_be_meant_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as mistake:
        project_of(text, tmp_path)
    assert complaint in str(mistake.value)
    assert str(tmp_path / "pyproject.toml") in str(mistake.value)


def module_at(file: Path | None) -> ModuleType:
    module = ModuleType("x")
    module.__file__ = str(file) if file else None
    return module


def test_the_code_is_what_was_imported_from_the_project(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    files = {
        "shop.orders": folder / "shop" / "orders.py",
        "shop": folder / "shop" / "__init__.py",
        "money": folder / "money.py",
        "bank": folder / "src" / "bank" / "__init__.py",
        "attrs": folder / ".venv" / "lib" / "site-packages" / "attrs" / "__init__.py",
        "elsewhere": Path("/usr/lib/elsewhere.py"),
        "builtin": None,
        "twofold.cli": folder / "src" / "twofold" / "cli.py",
    }
    found = local_modules(folder, {name: module_at(file) for name, file in files.items()})
    assert found == ("money.py", "shop", "src/bank")


def git(folder: Path, *words: str) -> None:
    own = ("-c", "user.name=ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, timeout=30)


def test_the_tag_names_version_and_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message=one")
    commit = commit_of(tmp_path)
    assert len(commit) == 12
    assert tag_of("1.4.0", commit) == f"1.4.0-{commit}"
    (tmp_path / "file").write_text("two")
    assert commit_of(tmp_path) == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("version", "tag"), [("1.4.0", "1.4.0"), ("1.4.0+local.1", "1.4.0-local.1"), ("1.0 beta/2", "1.0-beta-2")]
)
def test_a_tag_has_only_what_a_tag_may_have(version: str, tag: str) -> None:
    assert tag_of(version, "") == tag

from pathlib import Path

import pytest

from twofold.deploy.files import diff, foreign, mark, tag_in, write

HEAD = f"# {mark('kubernetes')}\n"


def test_what_is_written_is_what_the_diff_said(tmp_path: Path) -> None:
    files = {"base/a.yaml": f"{HEAD}a: 1\n"}
    assert "+a: 1" in diff(tmp_path, files, kind="kubernetes")
    assert write(tmp_path, files, kind="kubernetes") == (["base/a.yaml"], [])
    assert (tmp_path / "base" / "a.yaml").read_text() == files["base/a.yaml"]
    assert diff(tmp_path, files, kind="kubernetes") == ""
    assert write(tmp_path, files, kind="kubernetes") == ([], [])


def test_what_is_generated_no_longer_is_removed(tmp_path: Path) -> None:
    write(tmp_path, {"base/a.yaml": HEAD, "base/b.yaml": HEAD}, kind="kubernetes")
    now = {"base/b.yaml": HEAD}
    assert "+++ /dev/null" in diff(tmp_path, now, kind="kubernetes")
    assert write(tmp_path, now, kind="kubernetes") == ([], ["base/a.yaml"])
    assert not (tmp_path / "base" / "a.yaml").exists()


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine: true\n")
    (tmp_path / "compose.yaml").write_text(f"# {mark('compose')}\n")
    assert write(tmp_path, {"a.yaml": HEAD}, kind="kubernetes") == (["a.yaml"], [])
    assert foreign(tmp_path, {"mine.yaml": "", "a.yaml": "", "new.yaml": "", "compose.yaml": ""}) == ["mine.yaml"]


@pytest.mark.parametrize(("written", "tag"), [("1.4.0-abc", "1.4.0-abc"), ("'12e4567'", "12e4567")])
def test_the_tag_that_is_deployed_is_found_again(tmp_path: Path, written: str, tag: str) -> None:
    assert tag_in(tmp_path) is None
    production = tmp_path / "overlays" / "production"
    production.mkdir(parents=True)
    (production / "kustomization.yaml").write_text(f"images:\n- name: shop-query\n  newTag: {written}\n")
    assert tag_in(tmp_path) == tag
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=shop\nTAG=1.5.0\n")
    assert tag_in(tmp_path) == "1.5.0"

"""Every fenced block of the README and of the docs runs, and does what the page says (how: see `blocks.py`)."""

from pathlib import Path

import pytest

from tests.docs.blocks import FOR_THE_EYE, Block, names_postgres, steps_of
from tests.docs.runner import Page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [step for page in PAGES for step in steps_of(page) if isinstance(step, Block)]
MOST_BLOCKS_NOT_RUN = 8


@pytest.mark.timeout(240)  # a page starts dozens of programs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_the_page_does_what_the_page_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    steps = steps_of(page)
    with Page(tmp_path, request.getfixturevalue("own_postgres") if names_postgres(steps) else None) as running:
        for step in steps:
            running.run(step)


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    not_run = {block.place: block.not_run for block in BLOCKS if block.not_run is not None}
    assert len(not_run) <= MOST_BLOCKS_NOT_RUN, not_run
    assert all(len(reason.split()) >= 2 for reason in not_run.values()), not_run


def test_a_block_for_the_eye_holds_no_code() -> None:
    """Code that hides in a `text` block would never run."""
    code = ("import ", "from ", "def ", "class ", "$ ", "async def ")
    for_the_eye = (block for block in BLOCKS if block.language in FOR_THE_EYE)
    hidden = [block.place for block in for_the_eye if any(line.startswith(code) for line in block.text.splitlines())]
    assert not hidden, f"give the block its language: {hidden}"

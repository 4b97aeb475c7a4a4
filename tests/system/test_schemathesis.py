"""A running application under made-up requests, valid and not: https://schemathesis.readthedocs.io"""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from tests.system.served import Served, serving

TIMEOUT_S = 60.0

# JSON Schema calls 53.0 an integer and any text a string; the shop wants 53, and no U+0000. Both are refused.
STRICTER_THAN_THE_SCHEMA = "positive_data_acceptance"


async def findings(served: Served, folder: Path, *, examples: int) -> tuple[bool, str]:
    """Whether schemathesis is content, and what it says."""
    tester = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{served.url}/openapi.json", "--max-examples", str(examples), "--seed", "1", "--no-color"),
        *("--exclude-checks", STRICTER_THAN_THE_SCHEMA),
        cwd=folder,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await tester.communicate()
    finally:
        if tester.returncode is None:
            tester.kill()
            await tester.wait()
    return tester.returncode == 0, said.decode()


async def test_no_request_finds_a_5xx_or_an_answer_that_is_not_documented(tmp_path: Path) -> None:
    async with serving("examples.shop:app", tmp_path) as served:
        content, said = await findings(served, tmp_path, examples=12)
        await served.stop()
    assert content, said
    assert "Tested: 30" in said


async def test_a_query_that_fails_is_found(tmp_path: Path) -> None:
    async with serving("tests.integration.counters:app", tmp_path) as served:
        content, said = await findings(served, tmp_path, examples=1)
    assert not content
    assert "Server error" in said
    assert "/queries/Crash" in said

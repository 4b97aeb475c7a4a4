import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from examples.bank import Deposit, OpenAccount, app
from tests.system.cli_process import WITHIN_S, Service, environment, until
from twofold.testing import running

TAIL = [sys.executable, "-m", "twofold", "events", "tail", "examples.bank:app"]
EVENTS = 5_000


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")

    async def tell() -> None:
        async with running(app, folder=folder) as system:
            await system.send(OpenAccount(account_id="a1", owner="ann"))
            await asyncio.gather(*(system.send(Deposit(account_id="a1", amount=Decimal(1))) for _ in range(EVENTS - 1)))

    asyncio.run(tell())
    return folder / "log.db"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    words = ["serve", "all", "examples.bank:app", "--event-log", f"sqlite:///{tmp_path / 'log.db'}"]
    service = Service.start(words, cwd=tmp_path, folder=tmp_path)
    yield service
    service.kill()


def test_whoever_has_read_enough_ends_it_quietly(long_log: Path, tmp_path: Path) -> None:
    settings = environment(TWOFOLD_EVENT_LOG=f"sqlite:///{long_log}")
    with subprocess.Popen(
        [*TAIL, "--json"], cwd=tmp_path, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert json.loads(tail.stdout.readline())["position"] == 1
        tail.stdout.close()
        assert tail.stderr.read() == b""
    assert tail.returncode == 0


def test_a_long_log_comes_whole_and_in_order(long_log: Path, tmp_path: Path) -> None:
    settings = environment(TWOFOLD_EVENT_LOG=f"sqlite:///{long_log}")
    done = subprocess.run(
        [*TAIL, "--json"], cwd=tmp_path, env=settings, capture_output=True, check=True, timeout=WITHIN_S
    )
    assert [json.loads(line)["position"] for line in done.stdout.splitlines()] == list(range(1, EVENTS + 1))


def test_following_shows_what_a_running_service_appends_and_ends_quietly_by_ctrl_c(
    service: Service, tmp_path: Path
) -> None:
    settings = environment(TWOFOLD_EVENT_LOG=f"sqlite:///{tmp_path / 'log.db'}")
    with subprocess.Popen(
        [*TAIL, "--json", "--follow"], cwd=tmp_path, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        for number in (1, 2):
            service.send("OpenAccount", account_id=f"a{number}", owner="ann")
            assert json.loads(tail.stdout.readline())["position"] == number
        tail.send_signal(signal.SIGINT)
        assert tail.stderr.read() == b""
    assert tail.returncode == 0


def test_ctrl_c_while_it_starts_is_quiet_as_well(long_log: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*TAIL, "--follow"],
        cwd=tmp_path,
        env=environment(TWOFOLD_EVENT_LOG=f"sqlite:///{long_log}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        tail.stdout.read()
        assert b"Traceback" not in tail.stderr.read()
    until(lambda: tail.poll() is not None, "it ends")

"""The whole demo as people run it, on a small dirty history."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from examples.shop.demo.report import Result
from examples.shop.demo.retail import COLUMNS
from twofold.testing.load import LoadClient

ROOT = Path(__file__).parents[4]
TIMEOUT_S = 100
Demo = Callable[..., subprocess.CompletedProcess[str]]
HISTORY = "\n".join(
    [
        ",".join(COLUMNS),
        "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
        "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,United Kingdom",
        "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850,United Kingdom",
        "536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom",
        "A563186,B,Adjust bad debt,1,2011-08-12 14:51:00,-11062.06,,United Kingdom",
        "536540,C2,CARRIAGE,1,2010-12-01 14:05:00,50.001,14911,EIRE",
    ]
)


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    """The demo as a process; what it leaves behind it leaves in `tmp_path`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "examples.shop.demo", *arguments]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    return run


def test_the_demo_drives_the_shop_and_every_check_passes(tmp_path: Path, demo: Demo) -> None:
    history, figures = tmp_path / "history.csv", tmp_path / "result.json"
    history.write_text(HISTORY)
    done = demo("--csv", str(history), "--result", str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    result = msgspec.json.decode(figures.read_bytes(), type=Result)
    assert (result.orders, result.credit_notes) == (4, 1)
    assert {country: str(revenue) for country, revenue in result.revenue_by_country.items()} == {
        "EIRE": "50.001",
        "United Kingdom": "-11053.92",
    }
    assert (result.flash_sale.done, result.flash_sale.refused) == (1_000, 4_000)
    assert result.checks["shop_stops_within_5_s"]
    assert set(result.checks.values()) == {True}


async def test_a_kept_shop_goes_on_answering_where_the_demo_says(tmp_path: Path, demo: Demo) -> None:
    history = tmp_path / "history.csv"
    history.write_text(HISTORY)
    done = demo("--csv", str(history), "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"http://127\.0\.0\.1:(?P<port>\d+)/docs .*Stop it with: kill (?P<pid>\d+)", done.stdout)
    assert found
    try:
        async with LoadClient("127.0.0.1", int(found["port"]), connections=1) as client:
            order = await client.request("GET", "/queries/OrderById?order_id=536365")
        assert order.status == 200
    finally:
        os.kill(int(found["pid"]), signal.SIGTERM)


@pytest.mark.parametrize(
    ("text", "complaint"), [("InvoiceNo\n", "lacks the columns StockCode"), (HISTORY + "\n1,2\n", "line 8: 2 values")]
)
def test_a_history_that_cannot_be_replayed_starts_nothing(
    tmp_path: Path, demo: Demo, text: str, complaint: str
) -> None:
    history = tmp_path / "history.csv"
    history.write_text(text)
    done = demo("--csv", str(history))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_result_that_could_not_be_written_is_said_at_once(tmp_path: Path, demo: Demo) -> None:
    done = demo("--result", str(tmp_path / "nowhere" / "result.json"))
    assert done.returncode == 2
    assert "does not exist" in done.stderr


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_no_shop_behind(tmp_path: Path, ending: signal.Signals, code: int) -> None:
    command = [sys.executable, "-u", "-m", "examples.shop.demo"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = process.stdout.readline()
        while "Flash sale" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(ending)
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code
    port = re.search(r"http://127\.0\.0\.1:(\d+)", where)
    assert port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port[1]))) != 0

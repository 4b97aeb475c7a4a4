"""Run the demo: exit code 0 when every check passed, 1 when one failed, 2 when the history can't be read."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from examples.shop.demo import checks, report, traffic
from examples.shop.demo.answers import Answers, AskFailedError, ask_everything
from examples.shop.demo.retail import BrokenHistoryError, History, read_csv
from examples.shop.demo.server import HOST, Server, ServerFailedError, start
from examples.shop.demo.synthetic import synthetic_month
from twofold.testing.load import NoAnswerError

FAILED = 1
USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    csv: Path | None
    result: Path | None
    keep: bool


@dataclass(frozen=True, slots=True)
class Story:
    """All that was sent, all that the log has, all that was answered."""

    opened: traffic.Phase
    sale: traffic.Phase
    replay: traffic.Phase
    audit: checks.LogAudit
    answers: Answers


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    console, complaints = Console(highlight=False), Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        history = read_csv(options.csv) if options.csv else synthetic_month()
    except BrokenHistoryError as error:
        complaints.print(str(error))
        return USAGE
    try:
        return run(options, history, console)
    except (ServerFailedError, AskFailedError, NoAnswerError) as error:
        complaints.print(str(error))
        return FAILED
    except KeyboardInterrupt:
        complaints.print("interrupted; the shop is stopped")
        return INTERRUPTED


def parse(arguments: Sequence[str]) -> Options:
    description = "Start the shop, drive it over HTTP, and audit what it did."
    parser = argparse.ArgumentParser(prog="python -m examples.shop.demo", description=description)
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a history like UCI Online Retail, plain or gzip")
    parser.add_argument("--result", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the shop running and say where")
    values = parser.parse_args(arguments)
    if values.result is not None and not values.result.absolute().parent.is_dir():
        parser.error(f"--result: the folder {values.result.absolute().parent} does not exist")
    return Options(values.csv, values.result, values.keep)


def run(options: Options, history: History, console: Console) -> int:
    """The shop never outlives the demo, however that ends, unless it is to be kept and the whole story was told."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, leave)
    folder = Path(tempfile.mkdtemp(prefix="twofold-shop-"))
    server = start(folder)
    console.print(f"The shop runs at {server.url}, in {folder}", soft_wrap=True)
    kept = False
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            story = runner.run(tell(server, history, console))
        verdict = judge(story, history)
        kept = options.keep
    finally:
        stopped = kept or server.stop()
    if not kept:
        verdict.add("shop_stops_within_5_s", stopped, "it was killed after 5 s of SIGTERM")
    conclude(options, story, history, verdict, console)
    if kept:
        show_kept(console, server)
    elif verdict.ok:
        shutil.rmtree(folder)
    else:
        console.print(f"Event log, read models and server log are left in {folder}", soft_wrap=True)
    return 0 if verdict.ok else FAILED


def leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed: the load generator shares the machine with what it measures."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


async def tell(server: Server, history: History, console: Console) -> Story:
    await server.wait_until_ready()
    async with traffic.PatientClient(HOST, server.port, connections=traffic.IN_FLIGHT) as client:
        opened = await traffic.run_phase(client, traffic.opening(client))
        title = f"Flash sale of {traffic.FLASH_UNITS:,} units to {traffic.FLASH_BUYERS:,} buyers"
        with report.progress(console, title, traffic.FLASH_BUYERS) as advance:
            sale = await traffic.run_phase(client, traffic.flash_sale(client), advance)
        report.show_phase(console, "Flash sale", report.figures(sale))
        title = f"Replay of {len(history.invoices):,} invoices ({history.line_count:,} lines) of {history.name}"
        with report.progress(console, title, len(history.invoices)) as advance:
            replay = await traffic.run_phase(client, traffic.replay(client, history.invoices.values()), advance)
        report.show_phase(console, "Replay", report.figures(replay))
        with report.progress(console, "Audit: every event of the log folded again", 1):
            audit = checks.LogAudit()
            await asyncio.to_thread(audit.read, server.logged_events())
            answers = await ask_everything(client, after=audit.length)
    return Story(opened, sale, replay, audit, answers)


def judge(story: Story, history: History) -> checks.Checks:
    verdict = checks.Checks()
    sale, replay = story.sale.outcomes, story.replay.outcomes
    checks.check_flash_sale(verdict, sale, story.audit)
    checks.check_replay(verdict, replay, history, story.audit)
    checks.check_log(verdict, [story.opened.outcomes, sale, replay], story.audit)
    checks.check_read_models(verdict, story.answers, history, story.audit.refold)
    return verdict


def conclude(options: Options, story: Story, history: History, verdict: checks.Checks, console: Console) -> None:
    report.show_answers(console, story.answers)
    report.show_checks(console, verdict)
    if options.result is not None:
        sale, replay = report.figures(story.sale), report.figures(story.replay)
        report.result_of(history, story.answers, sale, replay, verdict).write(options.result)


def show_kept(console: Console, server: Server) -> None:
    console.print(
        f"The shop is still running: {server.url}/docs (process {server.process.pid}, folder {server.folder}). "
        f"Stop it with: kill {server.process.pid}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())

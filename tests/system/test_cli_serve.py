import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import httpx
import pytest

from tests.system.cli_process import ROOT, Service, environment, twofold, until

APP = "examples.bank:app"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"TWOFOLD_APP": APP, "TWOFOLD_EVENT_LOG": f"sqlite:///{tmp_path / 'log.db'}"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    words = ["serve", "all", APP, "--event-log", f"sqlite:///{tmp_path / 'log.db'}"]
    service = Service.start(words, cwd=ROOT, folder=tmp_path)
    yield service
    service.kill()


def test_sigterm_ends_it_within_five_seconds_also_with_a_client_connected(service: Service) -> None:
    service.send("OpenAccount", account_id="a1", owner="ann")
    with httpx.Client(base_url=service.url) as client, socket.socket() as silent:
        assert client.get("/readyz").status_code == 200
        silent.connect(("127.0.0.1", httpx.URL(service.url).port or 0))
        silent.sendall(b"POST /commands/OpenAccount HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert service.stop() < 5
    assert service.process.returncode == 0


def test_what_was_acknowledged_is_in_the_log_after_the_end(service: Service, settings: dict[str, str]) -> None:
    positions = [service.send("OpenAccount", account_id=f"a{each}", owner="ann")["position"] for each in range(20)]
    service.stop()
    lines = twofold("events", "tail", "--json", cwd=ROOT, settings=settings).stdout.splitlines()
    assert [json.loads(line)["position"] for line in lines] == positions


def test_logs_go_to_stderr_as_json_where_no_terminal_is(service: Service) -> None:
    first = json.loads(service.output.read_text().splitlines()[0])
    assert (first["event"], first["url"]) == ("listening", service.url)


def test_a_second_process_on_the_same_files_is_refused(service: Service, settings: dict[str, str]) -> None:
    refused = twofold("serve", "all", "--port", "0", cwd=ROOT, settings=settings, code=1)
    assert f"pid {service.process.pid}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_port_in_use_is_named_and_nothing_is_started(service: Service, tmp_path: Path) -> None:
    port = str(httpx.URL(service.url).port)
    other = {"TWOFOLD_APP": APP, "TWOFOLD_EVENT_LOG": f"sqlite:///{tmp_path / 'other.db'}"}
    for words in (["serve", "all"], ["dev"], ["dev", "--no-reload"]):
        refused = twofold(*words, "--port", port, cwd=ROOT, settings=other, code=2)
        assert f"127.0.0.1:{port}" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "other.db").exists()


def test_a_role_that_needs_postgresql_says_so_and_a_role_that_is_none_is_no_choice(tmp_path: Path) -> None:
    assert "needs PostgreSQL" in twofold("serve", "projector", APP, cwd=tmp_path, code=2).stderr
    assert "'all', 'command', 'query', 'projector'" in twofold("serve", "x", APP, cwd=tmp_path, code=2).stderr
    assert not (tmp_path / ".twofold").exists()


def test_the_token_is_for_the_same_user_alone(service: Service) -> None:
    lock = service.folder / "log.db.lock"
    assert S_IMODE(lock.stat().st_mode) == 0o600
    url = f"{service.url}/operations/read-models"
    token = service.holder["token"]
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json()[0]["name"] == "Balance"
    assert token not in service.output.read_text()


def test_a_running_service_is_asked_to_pause_resume_and_rebuild(service: Service, settings: dict[str, str]) -> None:
    def listed() -> dict[str, object]:
        return json.loads(twofold("read-models", "list", "--json", cwd=ROOT, settings=settings).stdout)[0]

    service.send("OpenAccount", account_id="a1", owner="ann")
    service.ask("AccountsOf", after=1, owner="ann")
    assert (listed()["state"], listed()["checkpoint"]) == ("running", 1)
    twofold("read-models", "pause", "Balance", cwd=ROOT, settings=settings)
    service.send("OpenAccount", account_id="a2", owner="ann")
    paused = listed()
    assert (paused["state"], paused["lag_events"]) == ("paused", 1)
    assert service.ask("AccountsOf", owner="ann") == [{"account_id": "a1", "owner": "ann", "balance": "0"}]
    twofold("read-models", "resume", "Balance", cwd=ROOT, settings=settings)
    assert len(service.ask("AccountsOf", after=2, owner="ann")) == 2
    done = twofold("read-models", "rebuild", "Balance", cwd=ROOT, settings=settings)
    assert done.stdout == "Balance is rebuilt up to position 2\n"
    assert (listed()["state"], listed()["lag_events"]) == ("running", 0)
    assert len(service.ask("AccountsOf", owner="ann")) == 2
    same = twofold("read-models", "rebuild", "Balance", "--compare", cwd=ROOT, settings=settings)
    assert same.stdout == "Balance: every row is what a fold of the log makes\n"
    twofold("read-models", "rebuild", "Balance", "--roll-back", cwd=ROOT, settings=settings)
    twofold("read-models", "drop", "Balance", cwd=ROOT, settings=settings)
    twofold("read-models", "drop", "Balance", cwd=ROOT, settings=settings, code=3)
    assert "no read model" in twofold("read-models", "rebuild", "Nope", cwd=ROOT, settings=settings, code=3).stderr


def test_operators_look_at_the_files_of_a_running_service(service: Service, settings: dict[str, str]) -> None:
    service.send("OpenAccount", account_id="a1", owner="ann")
    shown = twofold("doctor", cwd=ROOT, settings=settings).stdout
    assert f"process {service.process.pid} writes it at {service.url}" in shown
    assert "fail" not in shown
    assert twofold("events", "count", cwd=ROOT, settings=settings).stdout == "1 events\n"
    assert twofold("schema", "migrate", cwd=ROOT, settings=settings).stdout.count("up to date") == 2


def test_a_terminal_gets_a_progress_bar(service: Service, settings: dict[str, str]) -> None:
    service.send("OpenAccount", account_id="a1", owner="ann")
    service.stop()
    code = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = [sys.executable, "-m", "twofold", "read-models", "rebuild", "Balance"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=ROOT,
        env=environment(**settings, TERM="xterm"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "rebuilding Balance" in done.stdout
    assert "Balance is rebuilt up to position 1" in done.stdout


# --- dev ---

SLICE = """
from twofold import Aggregate, Application, Command, Event, Query, ReadModel, View, answer, handle, on

class Greet(Command):
    name: str

class Greeted(Event):
    name: str

class Guest(Aggregate, key="name"):
    @handle
    def greet(self, command: Greet) -> Greeted:
        return Greeted(name=command.name)

    @handle(creates=True)
    def meet(self, command: "Meet") -> Greeted:
        return Greeted(name=command.name)

class Meet(Command):
    name: str

class Greetings(ReadModel, key="name"):
    name: str
    count: int = 0

    @on(Greeted)
    def greeted(self, event: Greeted) -> None:
        self.count += 1

class CountOf(Query[int]):
    name: str

@answer
async def count_of(query: CountOf, greetings: View[Greetings]) -> int:
    row = await greetings.get(query.name)
    return row.count * FACTOR if row else 0

FACTOR = 1
app = Application("greetings", [Guest, Greetings, count_of])
"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "greetings.py").write_text(SLICE)
    (tmp_path / ".twofold").mkdir()
    service = Service.start(["dev", "greetings:app"], cwd=tmp_path, folder=tmp_path / ".twofold")
    yield service
    service.kill()


def test_dev_takes_a_change_over_without_refusing_a_request(dev: Service, tmp_path: Path) -> None:
    dev.send("Meet", name="ann")
    url, first = dev.url, dev.holder["pid"]
    (tmp_path / "greetings.py").write_text(SLICE.replace("FACTOR = 1", "FACTOR = 10"))
    answers: set[int] = set()

    def changed() -> bool:
        """A connection refused would raise. One that was just taken may be given up by the process that ends."""
        try:
            answer = httpx.get(f"{url}/queries/CountOf", params={"name": "ann"}, timeout=30)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return False
        if answer.status_code == 503:
            return False
        answers.add(answer.json())
        return 10 in answers

    until(changed, "the new code answers")
    assert answers <= {1, 10}
    assert dev.holder["pid"] != first
    assert "greetings.py changed: reloading" in dev.output.read_text()


def test_dev_says_where_it_is_and_ends_with_its_child(dev: Service) -> None:
    dev.send("Meet", name="ann")
    shown = dev.output.read_text()
    assert dev.url in shown
    assert f"{dev.url}/docs" in shown
    assert ".twofold/log.db" in shown
    assert ".twofold/log.read.db" in shown
    assert dev.stop() < 5
    assert dev.process.returncode == 0
    assert dev.holder == {}, "a process that ends in good order no longer claims the files"


def test_dev_waits_while_the_code_is_broken(dev: Service, tmp_path: Path) -> None:
    (tmp_path / "greetings.py").write_text("def broken(:\n")
    until(lambda: "waiting for a change" in dev.output.read_text(), "the broken code is told of")
    assert "SyntaxError" in dev.output.read_text()
    (tmp_path / "greetings.py").write_text(SLICE.replace("FACTOR = 1", "FACTOR = 7"))
    until(dev.is_ready, "the mended code runs")
    dev.send("Meet", name="bob")
    assert dev.ask("CountOf", after=1, name="bob") == 7

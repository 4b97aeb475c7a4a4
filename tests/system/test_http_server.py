"""The server as a process: how it starts, and how it ends with clients of every kind connected."""

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.system.served import TIMEOUT_S, serving, started
from twofold.testing.load import NoAnswerError, drive

COUNTERS = "tests.integration.counters:app"
EXIT_S = 5.0


async def test_a_process_that_is_told_to_stop_ends_well_and_soon(tmp_path: Path) -> None:
    async with serving(COUNTERS, tmp_path) as served:
        assert await served.stop() < EXIT_S
    async with serving(COUNTERS, tmp_path) as served:
        assert await served.stop(signal.SIGINT) < EXIT_S


async def test_idle_and_half_sent_clients_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serving(COUNTERS, tmp_path) as served, served.client(connections=4) as client:
        await drive(client, [client.prepare("GET", "/livez")] * 40, 4)
        half_head = await half_sent(served.port, "POST /commands/Count HTTP/1.1\r\nContent-Le")
        half_body = await half_sent(
            served.port,
            "POST /commands/Count HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        )
        await asyncio.sleep(0.1)
        assert await served.stop() < 2.0
        answer = await half_body[0].read()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"code":"stopping"' in answer
        assert await half_head[0].read() == b""
        for _, writer in (half_head, half_body):
            writer.close()


async def half_sent(port: int, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    await writer.drain()
    return reader, writer


async def test_a_query_that_waits_is_answered_before_the_end(tmp_path: Path) -> None:
    for wait_s, code in ((1, "not-yet-consistent"), (30, "stopping")):
        async with serving(COUNTERS, tmp_path) as served, served.client() as client:
            headers = {"Twofold-After": "1", "Prefer": f"wait={wait_s}"}
            waiting = asyncio.create_task(client.request("GET", "/queries/Totals", headers=headers))
            await client.request("GET", "/livez")
            assert await served.stop() < EXIT_S
            answer = await waiting
            assert (answer.status, json.loads(answer.body)["code"]) == (503, code)


async def test_whatever_was_answered_before_the_end_is_there_after_the_next_start(tmp_path: Path) -> None:
    """Commands go on and on while the process is told to stop: what was answered is in the log."""
    answered: list[str] = []
    unknown: list[str] = []
    async with serving(COUNTERS, tmp_path) as served, served.client(connections=16) as client:

        async def send(number: int) -> None:
            name = f"c{number}"
            body = json.dumps({"counter_id": name}).encode()
            try:
                response = await client.request("POST", "/commands/OpenCounter", body=body)
            except NoAnswerError:
                unknown.append(name)
            else:
                assert response.status in (200, 503), response
                if response.status == 200:
                    answered.append(name)

        sending = asyncio.create_task(everything(send, 20_000))
        async with asyncio.timeout(TIMEOUT_S):
            while len(answered) < 500 and not sending.done():
                await asyncio.sleep(0.01)
        assert await served.stop() < EXIT_S
        await sending
    async with serving(COUNTERS, tmp_path) as served, served.client() as client:
        for name in answered:
            body = json.dumps({"counter_id": name}).encode()
            again = await client.request("POST", "/commands/OpenCounter", body=body)
            assert (again.status, json.loads(again.body)["code"]) == (409, "already-exists")
        await served.stop()
    assert unknown


async def everything(send: Callable[[int], Awaitable[None]], count: int) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await send(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(worker())


async def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await started(COUNTERS, tmp_path, port=port)
        async with asyncio.timeout(TIMEOUT_S):
            _, errors = await process.communicate()
    assert process.returncode != 0
    assert f"127.0.0.1:{port}" in errors.decode()
    assert "Traceback" not in errors.decode()
    assert not (tmp_path / "log.db").exists()


async def test_a_slow_client_does_not_slow_down_the_others(tmp_path: Path) -> None:
    async with serving(COUNTERS, tmp_path) as served, served.client(connections=4) as client:
        slow = [await half_sent(served.port, "GET /livez HTTP/1.1\r\nX-") for _ in range(200)]
        summary = await drive(client, [client.prepare("GET", "/livez")] * 400, 4)
        assert summary.statuses == {200: 400}
        for _, writer in slow:
            writer.close()
        assert await served.stop() < EXIT_S


async def test_a_second_signal_does_no_harm(tmp_path: Path) -> None:
    async with serving(COUNTERS, tmp_path) as served:
        served.process.send_signal(signal.SIGTERM)
        assert await served.stop() < EXIT_S

"""A headless Chromium, driven over the DevTools protocol through a pipe: no port, and no other library.

https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

TIMEOUT_S = 20.0
LARGEST_MESSAGE_BYTES = 64_000_000
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Page:
    """One page: goes to addresses, evaluates JavaScript, and keeps what it asked the network for and complained of."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader, self._writer = reader, writer
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._session = ""
        self.requested: list[str] = []
        self.complaints: list[str] = []

    async def open(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **parameters: Any) -> Any:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        future = self._answers[self._last_id] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(TIMEOUT_S):
            return await future

    async def listen(self) -> None:
        """Sort what comes in until the browser is gone."""
        while True:
            try:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                return
            if "id" in message:
                self._settle(message)
            else:
                self._note(message["method"], message["params"])

    def _settle(self, message: Any) -> None:
        future = self._answers.pop(message["id"])
        if "error" in message:
            future.set_exception(RuntimeError(message["error"]["message"]))
        else:
            future.set_result(message["result"])

    def _note(self, method: str, parameters: Any) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requested.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters["exceptionDetails"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case _:
                pass

    async def go(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """The value of the expression, awaited if it is a promise."""
        done = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(json.dumps(done["exceptionDetails"]))
        return done["result"].get("value")

    async def becomes_true(self, script: str) -> None:
        """Wait until the expression is true, looked at with every frame; TimeoutError when it does not become so."""
        looked = f"new Promise(done => {{ const look = () => ({script}) ? done(true) : setTimeout(look, 20); look() }})"
        await self.evaluate(looked)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: str, number: int, *, modifiers: int = 0) -> None:
        """A key of the keyboard, as DevTools names it; modifiers 2 is Ctrl."""
        about = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        await self.call("Input.dispatchKeyEvent", type="rawKeyDown", **about)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **about)


@asynccontextmanager
async def browsing(program: Path, profile: Path) -> AsyncGenerator[Page]:
    """A page in a browser of its own, which is gone afterwards."""
    to_browser, to_us = os.pipe(), os.pipe()

    def as_three_and_four() -> None:
        os.dup2(to_browser[0], 3)
        os.dup2(to_us[1], 4)

    process = await asyncio.create_subprocess_exec(
        str(program),
        *FLAGS,
        f"--user-data-dir={profile}",
        preexec_fn=as_three_and_four,
        close_fds=False,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(to_us[1])
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LARGEST_MESSAGE_BYTES)
    incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(to_us[0], "rb"))
    outgoing, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(to_browser[1], "wb"))
    page = Page(reader, outgoing)
    listening = asyncio.create_task(page.listen())
    try:
        await page.open()
        yield page
    finally:
        process.kill()
        await process.wait()
        await listening
        incoming.close()
        outgoing.close()

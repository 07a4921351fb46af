"""A small driver for Firefox, by WebDriver BiDi: Playwright drives no Firefox but its own build."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

from tornado.websocket import websocket_connect

SECONDS = 60  # the machine may have other work
# What a page shows that did not answer in time.
SEEN = "`${document.visibilityState}: ${document.body.innerText.slice(0, 1000)}`"


def find_firefox():
    """Return the program, None where there is none."""
    return shutil.which("firefox") or shutil.which("firefox-esr")


def in_firefox(program, *visits, strict=True):
    """Open pages, given by their addresses; on each evaluate expressions, which may be promises.

    A visit is an address and its expressions. Return their values, in order. An error on the console
    is an error here, if ``strict``.
    """
    # In a thread of its own: Playwright, which other tests use, keeps a running loop in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _evaluate(program, visits, strict)).result()


async def _evaluate(program, visits, strict):
    async with _session(program) as (command, errors):
        contexts = await command("browsingContext.getTree")
        tab = contexts["contexts"][0]["context"]
        found = []
        for address, *expressions in visits:
            # From an empty page: addresses that differ after "#" alone are the same page.
            for url in ("about:blank", address):
                await command("browsingContext.navigate", context=tab, url=url, wait="complete")
            for expression in expressions:
                asked = {"awaitPromise": True, "target": {"context": tab}}
                try:
                    answer = await command("script.evaluate", expression=expression, **asked)
                except TimeoutError as problem:
                    seen = await command("script.evaluate", expression=SEEN, **asked)
                    raise TimeoutError(f"{problem}; the page is {seen}") from None
                assert answer["type"] == "success", answer
                found.append(answer["result"].get("value"))
        assert not strict or errors == []
        return found


@asynccontextmanager
async def _session(program):
    """Start Firefox; give a function that commands it, and a list of errors on the console."""
    options = ["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"]
    # To nowhere: Firefox waits once a pipe that nobody reads is full.
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        subprocess.Popen([program, *options, profile], **silent) as process,
    ):
        socket = None
        try:
            async with asyncio.timeout(SECONDS):
                port = await _port(process, Path(profile, "WebDriverBiDiServer.json"))
            socket = await websocket_connect(f"ws://127.0.0.1:{port}/session")
            numbers, errors = count(1), []

            async def command(method, **parameters):
                number = next(numbers)
                await socket.write_message(
                    json.dumps({"id": number, "method": method, "params": parameters})
                )
                while True:
                    try:
                        async with asyncio.timeout(SECONDS):
                            answer = json.loads(await socket.read_message())
                    except TimeoutError:
                        raise TimeoutError(f"no answer to {method} {parameters}") from None
                    if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                        errors.append(answer["params"]["text"])
                    if answer.get("id") == number:
                        assert answer["type"] == "success", answer
                        return answer["result"]

            await command("session.new", capabilities={})
            await command("session.subscribe", events=["log.entryAdded"])
            yield command, errors
        finally:
            process.terminate()
            if socket is not None:
                socket.close()
                while await socket.read_message() is not None:  # None: the connection has ended
                    pass


async def _port(process, told):
    """Wait for the file in which Firefox tells its port."""
    while process.poll() is None:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(told.read_text())["ws_port"]
        await asyncio.sleep(0.05)
    raise RuntimeError(f"Firefox ended with status {process.returncode}")

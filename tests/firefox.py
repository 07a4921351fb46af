"""A small driver for Firefox, by WebDriver BiDi: Playwright drives no Firefox but its own build."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count

from tornado.websocket import websocket_connect

SECONDS = 120  # the machine may have other work


def find_firefox():
    """Return the program, None where there is none."""
    return shutil.which("firefox") or shutil.which("firefox-esr")


def in_firefox(program, address, *expressions, strict=True):
    """Open a page and evaluate expressions, which may be promises, one after the other.

    Return their values. An error on the console is an error here, if ``strict``.
    """
    # In a thread of its own: Playwright, which other tests use, keeps a running loop in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _evaluate(program, address, expressions, strict)).result()


async def _evaluate(program, address, expressions, strict):
    async with _session(program) as (command, errors):
        contexts = await command("browsingContext.getTree")
        tab = contexts["contexts"][0]["context"]
        await command("browsingContext.navigate", context=tab, url=address, wait="complete")
        found = []
        for expression in expressions:
            answer = await command(
                "script.evaluate", expression=expression, awaitPromise=True, target={"context": tab}
            )
            assert answer["type"] == "success", answer
            found.append(answer["result"].get("value"))
        assert not strict or errors == []
        return found


@asynccontextmanager
async def _session(program):
    """Start Firefox; give a function that commands it, and a list of errors on the console."""
    options = ["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        subprocess.Popen([program, *options, profile], **pipes) as process,
    ):
        try:
            ready = next(line for line in process.stderr if "WebDriver BiDi listening on" in line)
            port = ready.rpartition(":")[2].strip()
            socket = await websocket_connect(f"ws://127.0.0.1:{port}/session")
            numbers, errors = count(1), []

            async def command(method, **parameters):
                number = next(numbers)
                await socket.write_message(
                    json.dumps({"id": number, "method": method, "params": parameters})
                )
                while True:
                    answer = json.loads(await asyncio.wait_for(socket.read_message(), SECONDS))
                    if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                        errors.append(answer["params"]["text"])
                    if answer.get("id") == number:
                        assert answer["type"] == "success", answer
                        return answer["result"]

            await command("session.new", capabilities={})
            await command("session.subscribe", events=["log.entryAdded"])
            yield command, errors
            socket.close()
        finally:
            process.terminate()

"""Run Chromium without Playwright to measure the memory of a tab.

Playwright makes the browser keep all response bodies, which take hundreds of megabytes in the tab's process. This
module uses the pipe of the DevTools protocol instead, and enables none of its domains.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from benchmarks.measuring import memory_mb
from benchmarks.serving import chromium_command

_READ, _WRITTEN = 3, 4
"""The file descriptors that the browser uses to read commands and to write answers."""
_ABOVE = 10


class Tab:
    """The only tab in the browser."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        [target] = [one for one in self._browser("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self._browser("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises RuntimeError if it fails."""
        return self._request({"method": method, "params": parameters, "sessionId": self._session})

    def evaluate(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def memory_mb(self) -> float:
        """Return the memory of the page's renderer process: the largest, because the browser also keeps spare ones."""
        processes = self._browser("SystemInfo.getProcessInfo")["processInfo"]
        return max(memory_mb(one["id"]) for one in processes if one["type"] == "renderer")

    def free_caches(self) -> None:
        """Make the browser release its caches, by simulating memory pressure."""
        self._browser("Memory.simulatePressureNotification", level="critical")

    def _browser(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._request({"method": method, "params": parameters})

    def _request(self, command: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._commands.write(json.dumps(command | {"id": self._number}).encode() + b"\0")
        self._commands.flush()
        while True:
            message = b"".join(iter(lambda: self._answers.read(1), b"\0"))
            answer = json.loads(message)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(answer["error"]["message"])
                result: dict[str, Any] = answer["result"]
                return result


@contextmanager
def unwatched_tab(width: int, height: int) -> Iterator[Tab]:
    """Open an empty tab with a new profile while the context is open."""
    browser_reads, commands = os.pipe()
    answers, browser_writes = os.pipe()
    reads, writes = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in (browser_reads, browser_writes))

    def connect() -> None:
        os.dup2(reads, _READ)
        os.dup2(writes, _WRITTEN)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--window-size={width},{height}"]
        with (
            subprocess.Popen(
                [chromium_command(), *options, f"--user-data-dir={profile}", "about:blank"],
                stderr=subprocess.DEVNULL,
                preexec_fn=connect,
                pass_fds=(_READ, _WRITTEN),
            ) as browser,
            os.fdopen(commands, "wb") as sent,
            os.fdopen(answers, "rb") as received,
        ):
            for one in (browser_reads, browser_writes, reads, writes):
                os.close(one)
            try:
                yield Tab(sent, received)
            finally:
                browser.terminate()

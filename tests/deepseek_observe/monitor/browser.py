"""Chromium through its debugging pipe: a page is opened, asked and drawn; nothing to install."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_LIMIT_S = 30.0
_AS_3_AND_4 = """
import fcntl, os, sys
pair = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1:3]]
os.dup2(pair[0], 3)
os.dup2(pair[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""  # where Chromium looks for its pipes


class Browser:
    """One page; `told` is what its console and its errors said, `asked` the addresses it asked."""

    def __init__(self, folder, *, scheme="light", size=(1280, 900)):
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable, "-ISc", _AS_3_AND_4, str(to_read), str(to_write),
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}",
                "--no-first-run", "--disable-extensions", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(to_read, to_write),
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._left, self._number, self._session = b"", 0, None
        self.told, self.asked = [], []
        page = self._page()
        self._session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Runtime.enable")
        self.ask("Network.enable")
        self.ask("Log.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        theme = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=theme)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self._process.pid, signal.SIGKILL)  # and the processes that it started
        self._process.wait(10)
        os.close(self._in)
        os.close(self._out)

    def _page(self):
        limit_s = time.monotonic() + _LIMIT_S
        while time.monotonic() < limit_s:
            found = self.ask("Target.getTargets")["targetInfos"]
            pages = [one["targetId"] for one in found if one["type"] == "page"]
            if pages:
                return pages[0]
        raise TimeoutError("no page in Chromium")

    def open(self, url):
        self.ask("Page.navigate", url=url)

    def evaluate(self, expression):
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(json.dumps(found["exceptionDetails"])[:1000])
        return found["result"].get("value")

    def wait_for(self, expression, limit_s=_LIMIT_S):
        """The expression's value as soon as it is true."""
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            value = self.evaluate(expression)
            if value:
                return value
            self._read(0.05)
        raise TimeoutError(f"not within {limit_s} s: {expression}; {self.told}")

    def picture(self, path):
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def ask(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        end_s = time.monotonic() + _LIMIT_S
        while time.monotonic() < end_s:
            for answer in self._read(0.5):
                if answer.get("id") == self._number:
                    if "error" in answer:
                        raise AssertionError(f"{method}: {answer['error']}")
                    return answer["result"]
        raise TimeoutError(method)

    def _read(self, limit_s):
        if select.select([self._in], [], [], limit_s)[0]:
            data = os.read(self._in, 1 << 20)
            if not data:
                raise ConnectionError("Chromium ended")
            *whole, self._left = (self._left + data).split(b"\0")
            messages = [json.loads(one) for one in whole]
            for message in messages:
                self._note(message)
            return messages
        return []

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.told.append(json.dumps(params)[:500])

"""What the tests of a monitor share: a client, options, a folder of sockets."""

import json
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepseek_observe.monitor.alerts import RULES
from deepseek_observe.monitor.serving import Options, running
from deepseek_observe.monitor.sources.simulated import Simulation

TOKEN = "a-token-of-the-tests"


class Client:
    """Asks a monitor; `token` None: with none."""

    def __init__(self, port):
        self.port = port
        self.page = f"http://localhost:{port}/?token={TOKEN}"

    def ask(self, path, *, token=TOKEN, method="GET", **headers):
        """Status, headers and body."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        url = f"http://localhost:{self.port}{path}"
        request = urllib.request.Request(url, headers=given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                is_endless = "event-stream" in answer.headers.get("Content-Type", "")
                body = answer.readline() if is_endless else answer.read()
                return answer.status, answer.headers, body
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    @contextmanager
    def stream(self, path="/events"):
        """Messages of the stream, as (kind, content)."""
        url = f"http://localhost:{self.port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            yield _messages(answer)


def _messages(answer):
    kind = None
    for line in answer:
        if line.startswith(b"event: "):
            kind = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield kind, json.loads(line[6:])


def options(**changed):
    given = {
        "host": "127.0.0.1", "port": 0, "token": TOKEN, "rules": RULES, "history": None,
        "history_bytes": 1 << 20, "every_s": 0.1,
    }  # fmt: skip
    return Options(**(given | changed))


@contextmanager
def folder_of_sockets():
    """Named by the environment; its own name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ds-") as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place) / "rt"
        patch.setenv("DEEPSEEK_RUNTIME_DIR", str(folder))
        yield folder


@contextmanager
def simulated(count):
    """A monitor of so many simulated devices, sampled ten times a second."""
    with folder_of_sockets(), running(options(), [Simulation(count)]) as port:
        yield Client(port)

"""A real Prometheus that scrapes one monitor, each second."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

PROMETHEUS = shutil.which("prometheus")
_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: deepseek
    authorization: {{credentials: {token}}}
    static_configs: [{{targets: ["localhost:{port}"]}}]
"""
_LIMIT_S = 60.0


class Prometheus:
    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def query(self, expression):
        """What it answers: labels and values."""
        url = f"{self._url}query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def until(self, expression):
        """The answer, as soon as there is one."""
        limit_s = time.monotonic() + _LIMIT_S
        while time.monotonic() < limit_s:
            try:
                found = self.query(expression)
            except OSError:
                found = []  # it starts
            if found:
                return found
            time.sleep(0.05)
        raise TimeoutError(expression)


@contextmanager
def prometheus(folder, port, token):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG.format(token=token, port=port))
    command = [
        PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{own}", "--log.level=error",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Prometheus(own)
        finally:
            process.kill()

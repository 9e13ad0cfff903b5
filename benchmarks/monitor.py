"""`ds-sdk monitor`: the page in a real Chromium, a real Prometheus, the history's size, its cost.

The lag is what the page itself says under its title: from the moment a sample begins to the first
task after the frame that shows it, by the one clock of this machine; with 256 devices of a
simulation, four samples a second, one page open. The first rows, in which the charts are made, do
not count. The history is a day at 1 Hz of numbers that are all noise, which pack worst: the set of
this machine, and the set of 8 GPUs with a host. Costs are processor time, ours and the peers', one
sample a second, nobody looking.

    pip install glances==4.5.8 nvitop==1.7.2 into /tmp/peers, for example; apt install chromium
    prometheus prometheus-node-exporter
    python benchmarks/monitor.py --peers /tmp/peers/bin/python [--json FILE]

Without --peers, or without a program of Debian, its rows are not run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from _report import Report, print_head, versions

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/deepseek_observe/monitor"), str(ROOT / "tests/deepseek_cuda")]
TOKEN: Final = "a-token-of-the-benchmark"
DAY: Final = 86_400
FIRST: Final = 20  # rows in which the page makes its charts
WATCH: Final = """(() => { window.lags = []; const out = document.getElementById('lag');
  new MutationObserver(() => window.lags.push(Number(/drawn (-?\\d+) ms/.exec(out.textContent)[1])))
    .observe(out, {childList: true, characterData: true, subtree: true}); })()"""
GREY: Final = """(() => { const all = [...document.querySelectorAll('.tile')];
  return [all.length, all.filter(t => t.classList.contains('lost')).length]; })()"""


@contextmanager
def monitor(*words: str, **environment: str) -> Iterator[tuple[int, psutil.Process]]:
    """The command in a process of its own: its port and the process."""
    with tempfile.TemporaryDirectory(prefix="ds-") as place:
        token = Path(place) / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        env = os.environ | {"DEEPSEEK_RUNTIME_DIR": f"{place}/rt"} | environment
        command = [sys.executable, "-m", "deepseek_core", "monitor", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--token-file", str(token), *words],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        if found is None:
            raise SystemExit("the monitor did not start")
        try:
            yield int(found[1]), psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def ask(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(f"http://localhost:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def page(report: Report, rows: int) -> None:
    """Size, lag and grey tiles with 256 devices; who gets nothing."""
    from browser import CHROMIUM, Browser

    own = {"Authorization": f"Bearer {TOKEN}"}
    with monitor("--simulate", "256", "--every", "0.25") as (port, _):
        report.at_most("the page", len(ask(port, "/", **own)[1]) / 1e3, 80, "KB")
        wrong = [
            ask(port, path, Authorization="Bearer no")[0] for path in ("/", "/metrics", "/events")
        ]
        report.at_least("answers 401 to a wrong token", wrong.count(401), 3, "of 3")
        other = ask(port, "/metrics", Origin="http://elsewhere.example", **own)[1]
        report.at_most("bytes for another origin that knows the token", len(other), 0, "B")
        told = promtool(ask(port, "/metrics", **own)[1])
        if told is None:
            report.not_run("lines of promtool check metrics", 0, "no promtool", "lines")
        else:
            report.at_most("lines of promtool check metrics", told, 0, "lines")
        if CHROMIUM is None:
            report.not_run("lag of a drawn row, p99", 50, "no chromium", "ms")
            return
        with tempfile.TemporaryDirectory() as folder, Browser(folder) as browser:
            browser.open(f"http://localhost:{port}/?token={TOKEN}")
            browser.wait_for("document.querySelectorAll('.tile').length > 0")
            browser.evaluate(WATCH)
            grey = set()
            limit_s = time.monotonic() + 10 + rows
            while browser.evaluate("window.lags.length") < rows + FIRST:
                grey.add(tuple(browser.evaluate(GREY)))
                time.sleep(1)
                if time.monotonic() > limit_s:
                    raise SystemExit("the page draws no rows")
            lags = sorted(browser.evaluate("window.lags")[FIRST:])
            said = browser.told
    print(f"\n{len(lags)} rows drawn: median {statistics.median(lags):.0f} ms, p99 "
          f"{lags[int(0.99 * len(lags))]:.0f} ms, longest {lags[-1]:.0f} ms")  # fmt: skip
    report.at_most("256 devices: lag of a drawn row, median", statistics.median(lags), 25, "ms")
    report.at_most("256 devices: lag of a drawn row, p99", lags[int(0.99 * len(lags))], 50, "ms")
    report.at_least("tiles on the page", max(number for number, _ in grey), 257, "")
    report.at_most(
        "tiles grey at a time, of one device that is lost", max(n for _, n in grey), 1, ""
    )
    report.at_most("lines in the browser's console", len(said), 0, "lines")


def promtool(text: bytes) -> int | None:
    """How many lines it has to say; None: it is not here."""
    if shutil.which("promtool") is None:
        return None
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
    return len((done.stdout + done.stderr).splitlines()) + bool(done.returncode)


def scraped(report: Report) -> None:
    """The query of each panel, asked of a Prometheus that scrapes a monitor."""
    from scraper import PROMETHEUS, prometheus
    from told_events import tell_all

    from deepseek_observe.monitor.grafana import dashboard

    claim = "panels whose query a real Prometheus leaves unanswered"
    if PROMETHEUS is None:
        report.not_run(claim, 0, "no prometheus", "")
        return
    with tempfile.TemporaryDirectory(prefix="ds-") as place:
        os.environ["DEEPSEEK_RUNTIME_DIR"] = f"{place}/rt"
        with monitor("--simulate", "8", DEEPSEEK_RUNTIME_DIR=f"{place}/rt") as (port, _):
            tell_all(1)
            with prometheus(Path(place), port, TOKEN) as server:
                server.until("deepseek_training_step == 1")
                tell_all(2)
                server.until("rate(deepseek_deadline_misses_total[1m]) > 0")
                panels = dashboard()["panels"]
                silent = [p["title"] for p in panels if not server.query(p["targets"][0]["expr"])]
        del os.environ["DEEPSEEK_RUNTIME_DIR"]
    print(f"\n{len(panels)} panels; without an answer: {', '.join(silent) or 'none'}")
    report.at_most(claim, len(silent), 0, "")


def history(report: Report) -> None:
    """A day of noise, and how long the page waits for it."""
    from deepseek_observe.monitor.engines import Engines
    from deepseek_observe.monitor.families import FAMILIES, KEPT, PANELS
    from deepseek_observe.monitor.history.history import History
    from deepseek_observe.monitor.history.past import charts
    from deepseek_observe.monitor.sampler import Sampler
    from deepseek_observe.monitor.sources.gpus import Gpus
    from deepseek_observe.monitor.sources.host import FileSystems, Host

    sampler = Sampler([Host(), FileSystems(), Gpus()], Engines(), ())
    sampler.sample()
    time.sleep(0.2)
    real = [series for series in sampler.sample().drawn if series[0] in KEPT]
    sampler.end()
    gpu = [one.name for one in FAMILIES.values() if one.name in KEPT and "_device_" in one.name]
    eight = [(name, (f"cuda:{n}", "gpu")) for name in gpu for n in range(8)]
    for claim, series in (("this machine", real), ("8 GPUs and this host", [*real, *eight])):
        with tempfile.TemporaryDirectory() as folder:
            kept, noise = History(Path(folder), limit=1 << 30), np.random.default_rng(3)
            start_s = time.time() - DAY
            for second in range(DAY):
                values = noise.random(len(series)).tolist()
                kept.add(start_s + second, dict(zip(series, values, strict=True)))
            kept.flush()
            nbytes = sum(file.stat().st_size for file in Path(folder).glob("*.dsh"))
            began_s = time.process_time()
            wanted = {family.name for family in PANELS}
            found = charts(kept.tables(start_s, wanted), start_s, start_s + DAY)
            taken_s = time.process_time() - began_s
            kept.close()
        points = len(found["t"])
        print(f"{claim}: {len(series)} series, {nbytes / 2**20:.1f} MiB a day; the page gets "
              f"{points} points of each in {taken_s:.1f} s of CPU")  # fmt: skip
        report.at_most(f"24 h at 1 Hz, {claim}", nbytes / 2**20, 64, "MiB")
        report.at_most(f"24 h, {claim}: the charts of the page", taken_s, 2, "s CPU")


def cost(report: Report, peers: str | None, seconds: float) -> None:
    """Processor time of a sample, ours and theirs."""
    import machines

    with tempfile.TemporaryDirectory() as place:
        library = machines.make_library(Path(place) / "lib")
        full = machines.H100 | {
            "clock": 1980,
            "reasons": 0,
            "ecc": 0,
            "traffic": 1 << 20,
            "bandwidth": 62,
        }
        text = machines.described([full] * 8)
        fake = machines.environment(Path(place), library, None, text)
        fake["DEEPSEEK_PLUGINS"] = "observe"
        with monitor("--no-history", **fake) as (_, process):
            ours = per_second(process, seconds)
        with monitor("--history", f"{place}/past", **fake) as (_, process):
            kept = per_second(process, seconds)
        print(f"\na sample of the host and 8 GPUs: {ours:.2f} ms; with a history {kept:.2f} ms")
        report.at_most("8 GPUs and the host, with a history: a sample", kept, 10, "ms CPU")
        node_exporter(report, ours, seconds)
        if peers is None:
            report.not_run("a sample, by that of Glances", 0.5, "no --peers")
            report.not_run("8 GPUs, by nvitop", 1.0, "no --peers")
            return
        glances = [peers, "-m", "glances", "--stdout", "cpu,mem,diskio,network,fs", "--time", "1"]
        with subprocess.Popen(
            glances, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as other:
            theirs = per_second(psutil.Process(other.pid), seconds)
            other.kill()
        report.at_most(f"a sample, by that of Glances ({theirs:.1f} ms)", ours / theirs, 0.5)
        theirs = float(told(peers, NVITOP, fake))
        mine = float(told(sys.executable, GPUS, fake))
        print(f"8 GPUs alone: ours {mine:.3f} ms, nvitop {theirs:.3f} ms")
        report.at_most(f"8 GPUs, by nvitop ({theirs:.2f} ms)", mine / theirs, 1.0)


NVITOP: Final = """
import time
from nvitop import Device
devices = Device.all()
def read():
    for one in devices:
        with one.oneshot():
            one.gpu_utilization(), one.memory_used(), one.memory_total(), one.temperature()
            one.power_usage(), one.sm_clock(), one.memory_utilization(), one.pcie_throughput()
for _ in range(5): read()
begin = time.process_time()
for _ in range(200): read()
print((time.process_time() - begin) * 5)
"""
GPUS: Final = """
import time
from deepseek_observe.monitor.sources.gpus import Gpus
gpus = Gpus()
for _ in range(5): gpus.read()
begin = time.process_time()
for _ in range(200): gpus.read()
print((time.process_time() - begin) * 5)
"""
HOOK: Final = """
import sys, time
from deepseek_core import events
from deepseek_observe.hooks import ds_on_event
event = events.StageMeasured(time_s=1.0, stage="s", device_id="d", batch=1, seconds=0.1)
ds_on_event(event)
begin = time.process_time()
for _ in range(20000): ds_on_event(event)
print((time.process_time() - begin) * 50)
"""


def told(python: str, code: str, environment: dict[str, str]) -> str:
    """What a program prints last."""
    done = subprocess.run(
        [python, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout.split()[-1]


def per_second(process: psutil.Process, seconds: float) -> float:
    """Milliseconds of processor time in a second, once it runs."""
    time.sleep(3)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return 1e3 * (after.user + after.system - before.user - before.system) / seconds


def node_exporter(report: Report, ours: float, seconds: float) -> None:
    """Prometheus's exporter of the host alone, scraped once a second."""
    claim, path = (
        "a sample with 8 GPUs, by a scrape of the node exporter",
        "prometheus-node-exporter",
    )
    if shutil.which(path) is None:
        report.not_run(claim, 2.0, "no prometheus-node-exporter")
        return
    command = [path, "--web.listen-address=127.0.0.1:19100"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        time.sleep(2)
        process = psutil.Process(other.pid)
        before = process.cpu_times()
        for _ in range(int(seconds)):
            ask(19100, "/metrics")
            time.sleep(1)
        after = process.cpu_times()
        other.kill()
    theirs = 1e3 * (after.user + after.system - before.user - before.system) / int(seconds)
    report.at_most(f"{claim} ({theirs:.1f} ms)", ours / theirs, 2.0)


def hook(report: Report) -> None:
    """What an event costs the program that tells it."""
    with tempfile.TemporaryDirectory(prefix="ds-") as place:
        env = os.environ | {"DEEPSEEK_RUNTIME_DIR": f"{place}/rt"}
        alone = float(told(sys.executable, HOOK, env))
        with monitor("--no-history", DEEPSEEK_RUNTIME_DIR=f"{place}/rt"):
            heard = float(told(sys.executable, HOOK, env))
    print(f"\nan event: {alone:.2f} us without a monitor, {heard:.1f} us with one")
    report.at_most("an event, no monitor there", alone, 5, "us CPU")
    report.at_most("an event, with a monitor", heard, 100, "us CPU")


def ends(report: Report, readers: int) -> None:
    """From SIGTERM to the end of the process, with open streams."""
    with monitor("--simulate", "8", "--every", "0.1") as (port, process):
        streams = []
        for _ in range(readers):
            request = urllib.request.Request(f"http://localhost:{port}/events?token={TOKEN}")
            streams.append(urllib.request.urlopen(request, timeout=60))
        rows: list[Any] = [stream.readline() for stream in streams]
        began_s = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        taken_s = time.perf_counter() - began_s
        for stream in streams:
            stream.close()
    print(f"{len(rows)} streams open: ended in {taken_s:.2f} s")
    report.at_most(f"SIGTERM with {readers} open streams", taken_s, 2, "s")


def main() -> int:
    """Run the rows and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", metavar="PYTHON", help="an environment with glances and nvitop")
    parser.add_argument("--rows", type=int, default=400, help="drawn rows (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="of each cost (default: 30)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    used = versions(["starlette", "uvicorn", "prometheus-client", "psutil", "nvidia-ml-py"])
    print_head("ds-sdk monitor", used)
    report = Report(versions=used)
    page(report, args.rows)
    scraped(report)
    history(report)
    cost(report, args.peers, args.seconds)
    hook(report)
    ends(report, 100)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())

"""Look at every page of ours with axe, in light and dark, on a phone and on a desk.

    python tests/pages/look.py --axe axe.min.js --shots out/pages [PAGE.html ...]

It makes the pages by the commands that write them, runs axe-core in Chromium, and ends with 1
where axe finds anything, text is below 11 px, or a page is wider than its window. `make
pages-check` brings what it needs: Playwright, axe-core from npm, and the system's Chromium.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DS = [sys.executable, "-m", "deepseek_core"]
MODELS = ROOT / "examples/visual_search/models"
SCHEDULE = ROOT / "tests/data/sched/starpu_mirage_chol6_t960.json"
TRACE = re.search(  # the example of the reference
    r"```json\n(.*?)```", (ROOT / "sdk_docs/reference/trace_format.md").read_text(), re.DOTALL
)[1]
TRAINING = """
[model]
factory = "torch.nn:Linear"
kwargs = { in_features = 400, out_features = 1 }
[data]
factory = "samples.py:samples"
[evaluate]
factory = "samples.py:samples"
[optimizer]
name = "SGD"
kwargs = { lr = 0.002, momentum = 0.9 }
[loss]
name = "mse"
[train]
epochs = 4
batch = 32
compress = 0.05
[checkpoint]
url = "saved"
[log]
folder = "log"
"""
SAMPLES = """
import torch

def samples():
    x = torch.randn(960, 400, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.TensorDataset(x, x[:, :9].sum(1, keepdim=True))
"""
WIDTHS = (390, 1280)
LEAST_PX = 11
SMALL = """least => [...document.querySelectorAll('body *')]
  .filter(e => !['TITLE', 'STYLE', 'SCRIPT'].includes(e.tagName.toUpperCase())
    && [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
  .map(e => { const svg = e.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.slice(0, 40)]; })
  .filter(([size]) => size < least)"""


def ds(*words):
    subprocess.run([*DS, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def make_pages(folder):
    """Each kind of page, by the command that writes it."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    model = MODELS / "visual_search_fp32.onnx"
    images, gallery = np.zeros((4, 64, 64), np.uint8), np.zeros((500, 1280), np.float32)
    np.savez(work / "data.npz", images=images, gallery=gallery, k=np.array([5]))
    (work / "trace.json").write_text(TRACE)
    ds("plan", model, "--html", folder / "plan.html")
    ds("explain", model, "--input", work / "data.npz", "--html", folder / "explain.html")
    ds("schedule", SCHEDULE, "--html", folder / "schedule.html")
    ds("simulate", work / "trace.json", "--policy", "all", "--html", folder / "simulate.html")
    ds("check-plugin", "null", "--report", folder / "check.html", "--json")
    store = work / "store"
    ds("store", "init", store, "--warm", f"{work / 'warm'}?domains=12")
    for number in range(8):
        (work / f"{number}.bin").write_bytes(os.urandom(40_000 * (number + 1)))
    ds("store", "put", store, "files/", *sorted(work.glob("*.bin")))
    ds("store", "send", store, "files/7.bin", "--tier", "warm")
    ds("store", "status", store, "--html", folder / "store.html")
    (work / "recipe.toml").write_text(TRAINING)
    (work / "samples.py").write_text(SAMPLES)
    places = (f"log.folder={work / 'log'}", f"checkpoint.url={work / 'saved'}")
    ds("train", "run", work / "recipe.toml", "--nproc", "2", "--set", places[0], "--set", places[1])
    shutil.copy(work / "log/report.html", folder / "training.html")
    ds("demo", "--output", work / "demo")
    shutil.copy(work / "demo/visual_search.html", folder / "demo.html")
    return sorted(folder.glob("*.html"))


@contextmanager
def monitor():
    """The address of a page that is served: a monitor's, of many devices."""
    words = ("monitor", "--simulate", "256", "--port", "0", "--no-history")
    with subprocess.Popen([*DS, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()


def look(browser, name, address, axe, shots):
    """What is wrong with a page, in a sentence each."""
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            page = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=scheme,
                bypass_csp=True,  # axe is no part of the page
            )  # fmt: skip
            page.goto(address)
            if address.startswith("http"):
                page.wait_for_selector(".tile")
            page.evaluate(axe)
            where = f"{name}, {scheme}, {width} px"
            for found in page.evaluate("axe.run()")["violations"]:
                where_in = found["nodes"][0]["html"][:160]
                yield f"{where}: {found['impact']}: {found['id']}: {where_in}"
            for size, text in page.evaluate(SMALL, LEAST_PX):
                yield f"{where}: {size:.1f} px: {text}"
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                yield f"{where}: {wide} px wide"
            if shots:
                page.screenshot(path=shots / f"{name}-{scheme}-{width}.png", full_page=True)
            page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--axe", type=Path, required=True, metavar="axe.min.js")
    parser.add_argument("--shots", type=Path, metavar="FOLDER", help="for pages, pictures")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.html", help="else: ours")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("install Chromium (apt install chromium), or make pages-check elsewhere")
    from playwright.sync_api import sync_playwright

    shots = args.shots or ROOT / "out/pages"
    shots.mkdir(parents=True, exist_ok=True)
    pages = args.pages or make_pages(shots)
    addresses = {page.stem: page.resolve().as_uri() for page in pages}
    with sync_playwright() as playwright, monitor() as served:
        if not args.pages:
            addresses["monitor"] = served
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        faults = [
            fault
            for name, address in addresses.items()
            for fault in look(browser, name, address, args.axe.read_text(), shots)
        ]
        browser.close()
    print("\n".join(faults))
    print(f"{len(addresses)} pages in 4 ways: {len(faults)} findings")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

"""The page in a real Chromium: it draws, greys what is lost, and shows names as text."""

import json

import pytest
from browser import CHROMIUM, Browser
from monitors import Client, options

from deepseek_core import events
from deepseek_observe.monitor.families import MEMORY, UP, UTILIZATION
from deepseek_observe.monitor.sample import Reading
from deepseek_observe.monitor.serving import running
from deepseek_observe.monitor.sources.simulated import Simulation
from deepseek_observe.monitor.wire.sending import Sender

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium"),
    pytest.mark.usefixtures("runtime"),
]
HOSTILE = '"><img src=x onerror=alert(1)>'


class Pair:
    """Two devices, of which the second can be lost; the first has a hostile name."""

    name = "pair"
    lost = False

    def read(self):
        values = {}
        for name, up in ((HOSTILE, 1.0), ("cuda:1", float(not self.lost))):
            labels = (name, "gpu")
            values[UP, labels] = up
            if up:
                values |= {(UTILIZATION, labels): 0.75, (MEMORY, labels): 0.5}
        return Reading(values=values)


def test_a_lost_device_greys_out_and_hostile_names_stay_text(tmp_path):
    source = Pair()
    with running(options(), [source]) as port, Browser(tmp_path) as browser:
        client = Client(port)
        browser.open(client.page)
        tiles = "[...document.querySelectorAll('.tile')].map(t => [t.className, t.innerText])"
        browser.wait_for("document.querySelectorAll('.tile').length == 2")
        browser.wait_for("document.querySelector('.chart canvas') != null")
        assert browser.evaluate(tiles)[1] == ["tile", "cuda:1\n75%"]
        reason = f"it broke {HOSTILE}"
        Sender().send(events.DeviceQuarantined(time_s=1.0, device_id=HOSTILE, reason=reason))
        source.lost = True
        browser.wait_for("document.querySelector('.tile.lost') != null")
        browser.wait_for("document.getElementById('alerts').innerText.includes('it broke')")
        found = browser.evaluate(tiles)
        assert found[1] == ["tile lost", "cuda:1\nlost"]
        assert found[0] == ["tile", f"{HOSTILE}\n75%"]
        assert browser.evaluate("document.querySelectorAll('img').length") == 0
        absent = "not observable: no device here tells it"
        assert absent in browser.evaluate("document.getElementById('charts').innerText")
        browser.evaluate("document.querySelectorAll('.tile')[0].click()")
        browser.wait_for("document.getElementById('chosen').innerText.startsWith('only')")
        browser.wait_for("document.getElementById('state')?.innerText == 'live'")
        ours = f"http://localhost:{port}/", "data:"  # its icon is none
        assert browser.told == []
        assert [url for url in browser.asked if not url.startswith(ours)] == []


@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 900)), ("dark", (390, 844))])
def test_256_devices_fit_a_desk_and_a_phone(tmp_path, scheme, size):
    with (
        running(options(), [Simulation(256)]) as port,
        Browser(tmp_path, scheme=scheme, size=size) as browser,
    ):
        browser.open(Client(port).page)
        browser.wait_for("document.querySelectorAll('.tile').length == 256")
        browser.wait_for("document.getElementById('lag').textContent")
        wide = browser.evaluate("document.documentElement.scrollWidth")
        assert wide <= size[0]
        cut = (
            "[...document.querySelectorAll('.tile')].filter(t => t.scrollWidth > t.clientWidth + 1)"
        )
        cut += ".length"
        assert browser.evaluate(cut) == 0
        notes = browser.evaluate("document.getElementById('notes').innerText")
        assert notes == "256 devices of a simulation"
        assert browser.told == []


def test_the_past_is_drawn_and_another_origin_gets_nothing(tmp_path):
    kept = options(history=tmp_path / "past")
    with running(kept, [Simulation(2)]) as port, Browser(tmp_path / "browser") as browser:
        page = Client(port).page
        asked = (
            f"fetch({json.dumps(page.replace('/?', '/metrics?'))}).then(a => a.status, e => 'no')"
        )
        assert browser.evaluate(asked) == "no"  # about:blank is nobody's
        browser.open(page)
        browser.wait_for("document.getElementById('state')?.innerText == 'live'")
        assert browser.evaluate(asked) == 200
        browser.evaluate(
            "(() => { const range = document.getElementById('range'); range.value = '3600';"
            " range.dispatchEvent(new Event('change')); })()"
        )
        browser.wait_for("document.querySelector('.chart:not([hidden]) .u-legend') != null")
        assert any("/history?" in url and "seconds=3600" in url for url in browser.asked)
        assert [one for one in browser.told if '"category": "cors"' not in one] == []


def test_the_page_finds_the_monitor_again_after_a_restart(tmp_path):
    with Browser(tmp_path) as browser:
        with running(options(), [Simulation(1)]) as port:
            browser.open(Client(port).page)
            browser.wait_for("document.getElementById('state')?.innerText == 'live'")
        browser.wait_for("document.getElementById('state').className == 'gone'")
        with running(options(port=port), [Simulation(1)]):
            browser.wait_for("document.getElementById('state')?.innerText == 'live'")
        told = json.dumps(browser.told)
        assert "Content Security Policy" not in told

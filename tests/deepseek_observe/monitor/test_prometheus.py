"""A real Prometheus scrapes the monitor and answers the query of every panel."""

import pytest
from monitors import TOKEN, Client, options
from scraper import PROMETHEUS, prometheus
from told_events import tell_all

from deepseek_observe.monitor.families import PANELS
from deepseek_observe.monitor.grafana import dashboard
from deepseek_observe.monitor.serving import running
from deepseek_observe.monitor.sources.host import Host
from deepseek_observe.monitor.sources.simulated import Simulation

pytestmark = [
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus: apt install prometheus"),
    pytest.mark.usefixtures("runtime"),
]


def test_every_panel_is_answered(tmp_path):
    with running(options(every_s=0.2), [Host(), Simulation(2)]) as port:
        tell_all(1)
        with prometheus(tmp_path, port, TOKEN) as server:
            server.until("deepseek_training_step == 1")
            tell_all(2)
            server.until("rate(deepseek_deadline_misses_total[1m]) > 0")
            here = Client(port).ask("/metrics")[2].decode()
            for panel in dashboard()["panels"]:
                (target,) = panel["targets"]
                family = next(one for one in PANELS if one.panel == panel["title"])
                if f"\n{family.name}{{" not in here:  # a machine without a disk or a network
                    assert family.name.startswith(("deepseek_disk", "deepseek_network"))
                    continue
                found = server.query(target["expr"])
                label = target["legendFormat"].strip("{}")
                assert found, panel["title"]
                assert all(label in one["metric"] for one in found), panel["title"]

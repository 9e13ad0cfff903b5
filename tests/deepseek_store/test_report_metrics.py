"""What a scraper reads: valid text, and figures that are those of the store."""

import html
import re
import shutil
import urllib.error
import urllib.request

import pytest

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.report.metrics import metrics, render
from deepseek_store.report.metrics_server import MetricsServer
from deepseek_store.report.page import write_status_page
from deepseek_store.report.status import look

LINE = re.compile(r'deepseek_store_[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? [-+0-9.e]+|inf')


@pytest.fixture
def store(tmp_path):
    warm, cold = f"memory://mw{tmp_path}?domains=6", f"memory://mc{tmp_path}?domains=6"
    policy = Policy(
        codes={"hot": "auto", "warm": "rs(4,2)", "cold": "rs(4,2)"},
        warm_fragment_nbytes=64 << 10,
        cold_fragment_nbytes=64 << 10,
    )
    urls = {"warm": [warm.replace("/", "-").replace(":--", "://")],
            "cold": [cold.replace("/", "-").replace(":--", "://")]}  # fmt: skip
    with Store.init(tmp_path / "home", policy=policy, **urls) as opened:
        for number in range(10):
            opened.put(f"k{number}", bytes([number]) * 10_000)
        yield opened


def text_of(status):
    """What a scraper that asks for no format gets."""
    body, _ = render(status)
    return body.decode()


def values(text):
    """Samples by name and labels, of text that the format allows."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert LINE.fullmatch(line), line
            name, value = line.rsplit(" ", 1)
            assert name not in found, line
            found[name.removeprefix("deepseek_store_")] = float(value)
    return found


def test_every_sample_stands_below_its_help_and_type(store):
    text = text_of(look(store))
    assert text.endswith("\n")
    seen = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            seen = line.split()[2]
        elif line.startswith("# TYPE "):
            kind = "counter" if seen.endswith("_total") else "gauge"
            assert line == f"# TYPE {seen} {kind}"
        else:
            assert re.split(r"[{ ]", line)[0] == seen
    names = [metric.name for metric in metrics(look(store))]
    assert len(names) == len(set(names))
    values(text)


def test_the_figures_are_those_of_the_store(store):
    store.maintenance.send([f"k{number}" for number in range(4)], "cold")
    store.snapshot("one")
    store.maintenance.pin("k9", "hot")
    store.get("k1")
    store.get("k1")
    found = values(text_of(look(store)))
    assert found['objects{tier="hot"}'] == 6
    assert found['objects{tier="cold"}'] == 4
    assert found['object_bytes{tier="cold"}'] == 40_000
    assert found['stripes{code="RS(4,2)",tier="cold"}'] == len(store.parts.state.stripes)
    assert found["snapshots"] == found["pins"] == 1
    assert found["cache_misses_total"] >= 1
    assert found["cache_hits_total"] >= 1
    assert found["damaged_units"] == found["degraded_reads_total"] == 0
    assert found["index_lag_versions"] == 0
    assert found['tier_up{tier="cold"}'] == 1
    stored = sum(value for name, value in found.items() if name.startswith("stored_bytes"))
    assert stored + found["index_bytes"] == look(store).stored_nbytes


def test_a_log_that_lacks_a_copy_is_up_and_says_what_it_lacks(tmp_path):
    with Store.init(tmp_path / "home", mirrors=[tmp_path / "mirror"]) as store:
        store.put("k", b"1")
    shutil.move(tmp_path / "mirror", tmp_path / "unmounted")
    with Store(tmp_path / "home") as store:
        status = look(store)
        assert bytes(store.get("k")) == b"1"
    (hot,) = [tier for tier in status.tiers if tier.name == "hot"]
    assert not hot.unreachable and list(hot.away) == [str(tmp_path / "mirror")]
    assert (hot.domains, hot.domains_configured) == (1, 2)
    assert not status.healthy
    assert values(text_of(status))['tier_up{tier="hot"}'] == 1
    write_status_page(tmp_path / "page.html", status, None)
    told = html.unescape((tmp_path / "page.html").read_text())
    assert "hot can't be reached" not in told
    assert f"hot: {tmp_path / 'mirror'} is away: there is no such folder" in told


def test_a_server_answers_scrapers_and_no_one_else(store):
    with MetricsServer(store, keep_s=0.0) as server:
        with urllib.request.urlopen(server.url, timeout=30) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert values(answer.read().decode())['objects{tier="hot"}'] == 10
        asking = urllib.request.Request(
            server.url, headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(asking, timeout=30) as answer:
            assert "openmetrics" in answer.headers["Content-Type"]
            assert answer.read().endswith(b"# EOF\n")
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(server.url.replace("/metrics", "/etc"), timeout=30)
        refused.value.close()
        with pytest.raises(errors.ConfigError, match="can't be listened on"):
            MetricsServer(store, port=int(server.url.rpartition(":")[2].partition("/")[0]))
    server.url  # noqa: B018 - it is still told after the end


def test_a_look_is_shared_by_scrapers_that_come_together(store):
    with MetricsServer(store, keep_s=3600.0) as server:
        before = server.text()
        store.put("more", b"x")
        assert server.text() == before
    with MetricsServer(store, keep_s=0.0) as server:
        assert server.text() != before


def test_a_store_that_was_closed_is_a_server_error(store):
    with MetricsServer(store, keep_s=0.0) as server:
        store.close()
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(server.url, timeout=30)
        assert b"closed" in refused.value.read()
        refused.value.close()

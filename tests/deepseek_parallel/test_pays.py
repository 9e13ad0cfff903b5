"""Whether compression pays, and the links that it is asked of."""

import json
import socket

import pytest

from deepseek_core import errors, training
from deepseek_parallel import pays
from deepseek_parallel.cli.links import read_link
from deepseek_parallel.cli.main import main

SLOW = training.Link(bytes_per_s=12.5e6, latency_s=1e-3)
FAST = training.Link(bytes_per_s=1e11, latency_s=1e-6)


def test_it_pays_on_a_slow_link_and_not_on_a_fast_one():
    slow, fast = (pays.compared(200_000, 0.01, 4, link) for link in (SLOW, FAST))
    assert slow.whole_s == pytest.approx(1.5 * 800_000 / 12.5e6 + 6e-3)
    assert slow.speedup > 1 > fast.speedup
    assert slow.compressed_s > slow.codec_s > 0


def test_at_the_rate_that_is_said_neither_is_faster():
    told = pays.compared(200_000, 0.01, 2, SLOW)
    even = training.Link(bytes_per_s=told.even_bytes_per_s, latency_s=0.0)
    again = pays.compared(200_000, 0.01, 2, even)
    whole_s = 800_000 / told.even_bytes_per_s
    assert again.whole_s == pytest.approx(whole_s)
    compressed_s = again.compressed_s - again.codec_s + told.codec_s
    assert compressed_s == pytest.approx(whole_s)


def test_the_loopback_interface_is_measured():
    link = pays.loopback()
    assert link.bytes_per_s > 1e6
    assert 0 < link.latency_s < 1


def test_a_machine_without_one_is_told(monkeypatch):
    def refuse(*_):
        raise OSError("no address")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(errors.ConfigError, match=r"no address.*--link"):
        pays.loopback()


def test_one_rank_exchanges_nothing():
    with pytest.raises(errors.InputError, match="exchange nothing"):
        pays.compared(100, 0.01, 1, SLOW)


@pytest.mark.parametrize(
    ("text", "bytes_per_s", "latency_s"),
    [
        ("100mbit", 12.5e6, 50e-6),
        ("100mbit,1ms", 12.5e6, 1e-3),
        ("10 Gbit/s, 20us", 1.25e9, 20e-6),
        ("12.5MB,0.1s", 12.5e6, 0.1),
        ("1gbps", 1.25e8, 50e-6),
    ],
)
def test_links_are_read_as_people_write_them(text, bytes_per_s, latency_s):
    link = read_link(text)
    assert link.bytes_per_s == pytest.approx(bytes_per_s)
    assert link.latency_s == pytest.approx(latency_s)


@pytest.mark.parametrize(
    "text", ["", "100", "fast", "1mbit,2", "0mbit", "1.2.3mbit", "-1mbit", "3mb"]
)
def test_what_is_no_link_is_refused(text):
    with pytest.raises(errors.ConfigError, match="write it like"):
        read_link(text)


RECIPE = """
[model]
factory = "torch.nn:Linear"
kwargs = { in_features = 300, out_features = 300 }
[data]
factory = "torch.nn:Identity"
[optimizer]
name = "SGD"
kwargs = { lr = 0.1, momentum = 0.9 }
[loss]
name = "mse"
[train]
steps = 2
batch = 4
compress = 0.01
"""


def test_a_dry_run_says_whether_it_pays(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "numbers_of_pays.py").write_text("def data(): return list(range(8))\n")
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("torch.nn:Identity", "numbers_of_pays:data"))

    def said(link):
        words = ["run", str(recipe), "--dry-run", "--nproc", "2", "--link", link, "--json"]
        assert main(words) == 0
        return json.loads(capsys.readouterr().out)["compression"]

    assert said("1mbit").startswith("pays: ")
    assert said("1000gbit,1us").startswith("does not pay: ")
    with pytest.raises(errors.ConfigError, match="add --dry-run"):
        main(["run", str(recipe), "--link", "1mbit"])

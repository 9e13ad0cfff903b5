"""The status page: whole, self-contained, true, and safe to open."""

import re
from html.parser import HTMLParser

import pytest
from page_rules import faults

from deepseek_core import console, open_tier
from deepseek_store import Policy, Store
from deepseek_store.report.page import write_status_page
from deepseek_store.report.status import BORDERS, look


class Reader(HTMLParser):
    """Text by tag, and whether what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.titles, self.outside = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.outside += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        while self.open and self.open[-1] in ("th", "td", "tr", "meta") and self.open[-1] != tag:
            self.open.pop()
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "title":
            self.titles.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    reader.close()
    assert not reader.open
    assert not reader.outside
    return reader


@pytest.fixture
def store(tmp_path):
    name = str(tmp_path).replace("/", "-")
    now = [1_800_000_000.0]
    policy = Policy(
        codes={"hot": "auto", "warm": "rs(2,1)", "cold": "rs(4,2)"},
        warm_fragment_nbytes=64 << 10,
        cold_fragment_nbytes=64 << 10,
    )
    urls = {"warm": [f"memory://pw{name}?domains=4"], "cold": [f"memory://pc{name}?domains=6"]}
    with Store.init(tmp_path / "home", policy=policy, clock=lambda: now[0], **urls) as opened:
        for number in range(20):
            opened.put(f"<b>&{number}", bytes([number]) * 20_000)
            opened.flush()  # as a process that runs all day does now and then
            now[0] += 43_200.0
        opened.maintenance.send([f"<b>&{number}" for number in range(5)], "cold")
        opened.maintenance.send([f"<b>&{number}" for number in range(5, 12)], "warm")
        opened.delete("<b>&7")
        yield opened


def test_the_page_tells_what_the_store_is(store, tmp_path):
    status, moves = look(store), store.maintenance.plan(flush=True)
    write_status_page(tmp_path / "page.html", status, moves)
    reader = read(tmp_path / "page.html")
    text = " ".join(reader.texts)
    assert "19" in text
    assert console.format_bytes(status.stored_nbytes) in text
    for tier in status.tiers:
        assert tier.choice.code.name in text
        assert console.format_bytes(tier.stored_nbytes) in text
        assert all(f"{nines:.1f}" in text for nines in tier.choice.nines.values())
    assert text.count("simulated") >= 4
    assert all(move.reason in text for move in moves.moves)
    assert "<b>&" not in (tmp_path / "page.html").read_text()
    assert faults((tmp_path / "page.html").read_text()) == []


def test_bars_are_as_long_as_what_they_stand_for(store, tmp_path):
    status = look(store)
    write_status_page(tmp_path / "page.html", status, None, "no plan & why")
    page = (tmp_path / "page.html").read_text()
    assert "no plan &amp; why" in page
    chart = page.split("<title>Bytes stored in each tier</title>")[1].split("</svg>")[0]
    widths = [float(found) for found in re.findall(r'width="([\d.]+)"', chart)]
    shares = [
        nbytes
        for tier in status.tiers
        for nbytes in (tier.live_nbytes, tier.redundancy_nbytes, tier.garbage_nbytes)
        if nbytes
    ]
    most = max(tier.stored_nbytes for tier in status.tiers)
    assert len(widths) == len(shares)
    for width, nbytes in zip(widths, shares, strict=True):
        assert abs(width - max(0.8, nbytes / most * (480 - 48 - 8))) <= 0.06


def test_every_object_stands_in_one_bin_of_its_heat(store):
    status = look(store)
    assert sum(sum(bin_.values()) for bin_ in status.heat_bins) == status.objects == 19
    assert len(status.heat_bins) == len(BORDERS) + 1
    for tier in status.tiers:
        assert sum(bin_[tier.name] for bin_ in status.heat_bins) == tier.objects
    assert sum(any(bin_.values()) for bin_ in status.heat_bins) > 1


def test_bytes_are_needed_redundant_or_garbage(store):
    for tier in look(store).tiers:
        parts = tier.live_nbytes + tier.redundancy_nbytes + tier.garbage_nbytes
        assert parts == tier.stored_nbytes > 0


def test_a_store_with_nothing_in_it_has_a_page(tmp_path):
    with Store.init(tmp_path / "home") as empty:
        status = look(empty)
        write_status_page(tmp_path / "page.html", status, empty.maintenance.plan())
    reader = read(tmp_path / "page.html")
    assert "There are no objects yet." in reader.texts
    assert faults((tmp_path / "page.html").read_text()) == []
    assert status.efficiency is None


def test_troubles_stand_at_the_top(store, tmp_path):
    stripe = next(iter(store.parts.state.stripes.values()))
    place = stripe.fragments[0]
    with open_tier(store.parts.config.tiers[place.tier].url) as tier:
        tier.delete(place.key)
    store.maintenance.scrub()
    write_status_page(tmp_path / "page.html", look(store), store.maintenance.plan())
    page = (tmp_path / "page.html").read_text()
    assert "1 segments or stripes are damaged" in page
    assert page.index("are damaged") < page.index("Where bytes lie")


def test_a_mirrored_log_counts_each_copy(tmp_path):
    with Store.init(tmp_path / "home", mirrors=[tmp_path / "second"]) as mirrored:
        mirrored.put("k", b"x" * 50_000)
        mirrored.parts.journal.seal()
        hot = look(mirrored).tiers[0]
    assert hot.choice.code.name == "replication(2)"
    assert hot.choice.domain_losses == 1
    assert hot.redundancy_nbytes == hot.live_nbytes == 50_000
    assert hot.stored_nbytes >= 100_000


def test_a_store_shows_itself_in_a_line_and_in_a_notebook(store, tmp_path):
    assert repr(store).startswith(f"Store({str(tmp_path / 'home')!r}: 19 objects; ")
    stored = {tier.name: tier.stored_nbytes for tier in look(store).tiers}
    html = store._repr_html_()
    for tier, nbytes in stored.items():
        assert f"{console.format_bytes(nbytes)} {tier}" in repr(store)
        assert f"<td>{tier}</td><td>{console.format_bytes(nbytes)}</td>" in html
    assert "19 objects" in html and "<script" not in html and len(html) < 1_500
    store.close()
    assert repr(store) == f"Store({str(tmp_path / 'home')!r}, closed)"

"""Sessions, graphs, plans and servers show themselves: one useful line, a table in a notebook."""

import attrs
import plain_devices
import pytest
from page_rules import faults
from plain_graphs import chain, diamond
from plain_sessions import plain_sessions

from deepseek_core import Server, console


@pytest.fixture
def session(tmp_path):
    plain_devices.FAILURES.clear()
    with plain_sessions(tmp_path) as make:
        yield make


def test_a_session_names_its_devices(session):
    few, many = session("a", "b"), session("a", "b", "c", "d", "e")
    assert repr(few) == "<Session: a, b; 0 plans>"
    with few.plan(chain(), batch=3):
        assert repr(few) == "<Session: a, b; 1 plan>"
    assert repr(many) == "<Session: a, b, c and 2 more; 0 plans>"
    few.close()
    assert repr(few) == "<Session, closed>"


def test_a_graph_names_its_stages_and_what_goes_in_and_comes_out():
    assert repr(diamond()) == (
        "<Graph diamond: left, right, join; x -> s, l; "
        "not batched: its frontend does not say which axis carries the items>"
    )
    stages = [attrs.evolve(chain().stages[0], name=f"s{i}", outputs=[
        attrs.evolve(chain().stages[0].outputs[0], name=f"y{i}")]) for i in range(5)]  # fmt: skip
    long = attrs.evolve(chain(), stages=stages, outputs=["y0"])
    assert repr(long).startswith("<Graph chain: s0, s1, s2 and 2 more; x -> y0; ")


def test_a_plan_says_where_and_how_fast(session):
    with session("a", "b") as s, s.plan(chain(), batch=3) as plan:
        line = repr(plan)
        assert line.startswith("<Plan of chain: ") and "\n" not in line
        assert " on " in line
        assert "Steady state: one batch every " in line
        devices = set(plan.devices.values())
    assert all(device in line for device in devices)
    assert repr(plan) == line, "a closed plan still says what it was"


def test_a_plan_without_a_choice_asks_nobody_for_a_line(session):
    with session("a") as s, s.plan(attrs.evolve(chain(), stages=chain().stages[:1],
                                                outputs=["y"]), batch=3) as plan:  # fmt: skip
        assert repr(plan) == "<Plan of chain: all on a>"


def test_a_notebook_gets_a_small_table_that_is_escaped_and_runs_nothing(session, tmp_path):
    evil = attrs.evolve(chain(), name="<script>alert(1)</script>")
    with session("a", "b") as s, s.plan(evil, batch=3) as plan:
        text = plan._repr_html_()
        facts = plan.to_json()
    assert "<script" not in text and "&lt;script&gt;" in text and "style>" not in text
    assert len(text) < 2_000
    for stage in facts["stages"]:
        assert f"<td>{stage['name']}</td>" in text and stage["device"] in text
    console.write_html(tmp_path / "page.html", "In a page", text)
    assert faults((tmp_path / "page.html").read_text()) == []
    assert text.count('scope="col"') == 4 and 'tabindex="0"' in text


def test_a_server_names_what_it_serves_and_where(session):
    with session("a", "b") as s:
        with Server(s, chain()) as server:
            assert repr(server) == "<Server of chain: a, b>"
        assert repr(server) == "<Server of chain, closed>"

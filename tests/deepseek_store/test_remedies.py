"""Remedies are commands that a shell takes as they are: the real folder, quoted, and told apart."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from store_kit import SMALL, data_of

from deepseek_core import errors
from deepseek_core.cli.main import main
from deepseek_store import Store
from deepseek_store.check.explain import Explanation
from deepseek_store.check.fsck import FsckFinding
from deepseek_store.errors import Corrupt


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with a mirror, in folders whose names a shell would cut."""
    folder = tmp_path / "my store's home"
    with Store.init(folder, policy=SMALL, mirrors=[str(tmp_path / "a mirror")]) as store:
        store.put("k", data_of("k"))
    return folder


def _only(home: Path) -> FsckFinding:
    with Store(home) as store:
        (found,) = store.maintenance.fsck().findings
    return found


def _explained(home: Path) -> Explanation:
    with Store(home) as store:
        return store.maintenance.explain("k")


def _run(remedy: str) -> int:
    """Type what stands last in a remedy."""
    words = shlex.split(remedy[remedy.index("ds-sdk ") :])
    return main(words[1:])


def test_a_mirror_that_is_gone_is_told_apart_from_what_to_do(home: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "a mirror"
    mirror.rename(tmp_path / "away")
    found = _only(home)
    assert (found.where, found.what) == (str(mirror), "there is no such folder")
    assert found.remedy.endswith(f"ds-sdk store adopt {shlex.quote(str(home))}")
    told = [copy.away for copy in _explained(home).copies]
    assert told == [{str(mirror): "there is no such folder"}]
    mirror.mkdir()
    assert _run(_only(home).remedy) == 0
    with Store(home) as store:
        store.maintenance.repair()
        assert store.maintenance.fsck().ok


def test_a_mirror_that_missed_writes_is_mended_by_its_remedy(home: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "a mirror"
    mirror.rename(tmp_path / "away")
    with Store(home) as store:
        store.put("k2", data_of("k2"))
    (tmp_path / "away").rename(mirror)
    found = _only(home)
    assert "->" not in found.what
    assert found.remedy == f"ds-sdk store repair {shlex.quote(str(home))}"
    assert _run(found.remedy) == 0
    with Store(home) as store:
        assert store.maintenance.fsck().ok


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda store: store.get("none"), "ls"),
        (lambda store: store.objects["none"], "ls"),
        (lambda store: store.get("k", snapshot="none"), "snapshots"),
    ],
    ids=["get", "mapping", "snapshot"],
)
def test_what_is_not_there_says_how_to_look(
    home: Path, use: Callable[[Store], object], name: str
) -> None:
    with Store(home) as store, pytest.raises(errors.DeepSeekError) as caught:
        use(store)
    assert caught.value.remedy == f"ds-sdk store {name} {shlex.quote(str(home))}"
    assert _run(caught.value.remedy) == 0


def test_a_store_without_a_tier_says_when_it_gets_one(home: Path) -> None:
    with Store(home) as store, pytest.raises(errors.ConfigError) as caught:
        store.maintenance.send(["k"], "cold")
    assert "no cold tier" in caught.value.message
    assert "--cold URL" in str(caught.value.remedy)


def test_damage_in_the_log_is_told_with_the_store_that_has_it(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    with Store.init(home, policy=SMALL) as store:
        store.put("k", data_of("k", 40_000))
    for path in (home / "log").glob("*.seg*"):
        content = bytearray(path.read_bytes())
        content[20_000:20_100] = bytes(100)
        path.write_bytes(content)
    with Store(home) as store, pytest.raises(Corrupt) as caught:
        store.get("k")
    assert caught.value.remedy == f"ds-sdk store scrub {shlex.quote(str(home))} --repair"

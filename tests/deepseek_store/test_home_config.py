"""`store.json` and the columns of the index keep their words, so that earlier stores open."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from store_kit import SMALL, data_of, urls

from deepseek_store import Policy, Store
from deepseek_store.errors import ForeignStore
from deepseek_store.home.config import FILE, StoreConfig, TierConfig
from deepseek_store.report.status import look

EARLIER = {
    "format": 1,
    "store_id": "8e0c04e1253be5f4b747bc463e92fa35",
    "tiers": [
        {"temperature": "warm", "url": "memory://warm?domains=4"},
        {"temperature": "cold", "url": "s3://bucket/cold"},
        {"temperature": "cold", "url": "memory://cold"},
    ],
    "index": "sqlite",
    "mirrors": ["/mnt/second/log"],
    "policy": Policy().to_json(),
}
"""What a store of the first format has in its file."""


def test_the_file_of_an_earlier_store_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    text = json.dumps(EARLIER, indent=1) + "\n"
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    config = StoreConfig.load(tmp_path)
    assert [tier.name for tier in config.tiers] == ["warm", "cold", "cold"]
    assert config.of("cold") == (1, 2)
    config.save(tmp_path)
    assert (tmp_path / FILE).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "change",
    [
        {"tiers": [{"temperature": "tepid", "url": "memory://srv"}]},
        {"tiers": [{"name": "warm", "url": "memory://srv"}]},
        {"tiers": [{"temperature": "warm", "url": "memory://srv", "name": "cold"}]},
        {"tiers": [{"temperature": "warm"}]},
        {"tiers": ["warm"]},
        {"store_id": "no number"},
        {"format": 2},
    ],
    ids=str,
)
def test_a_file_that_is_none_is_refused_by_its_name(
    tmp_path: Path, change: dict[str, object]
) -> None:
    (tmp_path / FILE).write_text(json.dumps(EARLIER | change), encoding="utf-8")
    with pytest.raises(ForeignStore) as refused:
        StoreConfig.load(tmp_path)
    assert FILE in refused.value.message
    assert refused.value.remedy


def test_a_policy_that_does_not_fit_is_refused_by_the_setting(tmp_path: Path) -> None:
    content = EARLIER | {"policy": {**Policy().to_json(), "landing": "tepid"}}
    (tmp_path / FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="landing"):
        StoreConfig.load(tmp_path)


def test_the_words_on_disk_and_in_json_stay(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        for key in ("near", "far"):
            store.put(key, data_of(key))
        store.maintenance.send(["far"], "cold")
        status = look(store).to_json()
        explained = store.maintenance.explain("far").to_json()
    assert [tier["temperature"] for tier in status["tiers"]] == ["hot", "warm", "cold"]
    assert len(status["temperatures"]) == 7
    assert explained["copies"][0]["temperature"] == "cold"
    for plain in (*status["tiers"], *explained["copies"]):
        assert not {"name", "tier"} & set(plain)
    index = sqlite3.connect(tmp_path / "s" / "index.sqlite")
    assert index.execute("SELECT temperature FROM stripes").fetchall() == [("cold",)]
    index.close()
    written = json.loads((tmp_path / "s" / FILE).read_text(encoding="utf-8"))
    assert written["tiers"] == [
        {"temperature": name, "url": url} for name, given in urls(tmp_path).items() for url in given
    ]


def test_a_tier_is_warm_or_cold() -> None:
    with pytest.raises(ValueError, match="name"):
        TierConfig(name="hot", url="memory://srv")

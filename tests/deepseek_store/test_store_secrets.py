"""A canary secret must show up nowhere: files, errors, reprs, logs, output."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from postgres_server import PostgresServer, missing

from deepseek_core import DeepSeekError
from deepseek_store import Policy, Store

if TYPE_CHECKING:
    from s3_server import S3Server

REMOTE = Policy(cold_fragment_nbytes=64 << 10, sizing=64 << 10, grace_s=0.0)


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All text that a test gathers; logs of all levels come by themselves."""
    caplog.set_level(logging.DEBUG)
    gathered: list[str] = []
    yield gathered
    gathered.append(caplog.text)


def texts_of(store: Store) -> list[str]:
    parts = store.parts
    found: list[Any] = [store, parts, parts.config, parts.state, parts.state.index, parts.tiers]
    found += [*parts.tiers.tiers, parts.disk, parts.opened]
    texts = [f"{one!r} {one!s}" for one in found]
    texts += [repr(attrs.asdict(parts.config)), repr([vars(t) for t in parts.config.tiers if 0])]
    return texts


def files_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def cli(*arguments: str) -> str:
    """What the command prints, whatever it says."""
    done = subprocess.run(
        [sys.executable, "-m", "deepseek_core", "store", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_keys_of_s3_appear_nowhere(
    s3_server: S3Server, tmp_path: Path, everything: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = s3_server.secret_key
    url = s3_server.url(s3_server.make_bucket(), "secrets", retries=0, timeout_s=3)
    with Store.init(tmp_path / "s", cold=[url], policy=REMOTE) as store:
        store.put("a", b"x" * 70_000, tier="cold")
        everything += texts_of(store)
        everything.append(json.dumps(store.maintenance.explain("a"), default=repr))
    for arguments in (["stat", str(tmp_path / "s"), "a"], ["explain", str(tmp_path / "s"), "a"]):
        everything.append(cli(*arguments))
    monkeypatch.setenv("DEEPSEEK_TEST_S3_ACCESS_KEY", "nobody-knows-me")
    with Store(tmp_path / "s") as store, pytest.raises(DeepSeekError) as caught:
        store.maintenance.send(["a"], "hot")
    everything.append(told(caught.value))
    everything += [content.decode("latin-1") for content in files_of(tmp_path)]
    assert all(canary not in text and s3_server.access_key not in text for text in everything)
    assert any("env:DEEPSEEK_TEST_S3_SECRET_KEY" in text for text in everything)


def test_a_secret_that_is_written_into_a_url_is_refused(
    s3_server: S3Server, tmp_path: Path
) -> None:
    url = s3_server.url("bucket-1", "x", secret_key="canary-2718281828")
    with pytest.raises(DeepSeekError) as caught:
        Store.init(tmp_path / "s", cold=[url], policy=REMOTE)
    assert "canary" not in told(caught.value)
    assert all(b"canary" not in content for content in files_of(tmp_path))


def test_the_password_of_the_database_appears_nowhere(
    tmp_path: Path, everything: list[str]
) -> None:
    if why := missing():
        pytest.skip(why)
    with PostgresServer() as server:
        canary = server.password
        url = server.url("secrets")
        with Store.init(tmp_path / "s", index=url, policy=REMOTE) as store:
            store.put("a", b"x")
            everything += texts_of(store)
        everything.append(cli("stat", str(tmp_path / "s"), "a"))
        os.environ[server.variable] = "canary-1414213562"
        with pytest.raises(DeepSeekError) as caught:
            Store(tmp_path / "s")
        everything.append(told(caught.value))
        os.environ[server.variable] = canary
        server.stop("immediate")
        with pytest.raises(DeepSeekError) as caught:
            Store(tmp_path / "s")
        everything.append(told(caught.value))
        everything += [content.decode("latin-1") for content in files_of(tmp_path)]
        assert all(canary not in text and "canary-14" not in text for text in everything)
        assert any(f"env:{server.variable}" in text for text in everything)


def test_a_password_that_is_written_into_the_url_of_the_database_is_refused(
    tmp_path: Path,
) -> None:
    for url in (
        "postgresql://keeper:canary-1732050807@localhost/db",
        "postgresql://keeper@localhost/db?password=canary-1732050807",
    ):
        with pytest.raises(DeepSeekError) as caught:
            Store.init(tmp_path / "s", index=url)
        assert "canary" not in told(caught.value)
        assert all(b"canary" not in content for content in files_of(tmp_path))

"""The keys of a bucket are nowhere to be read, though the tier works with them."""

import contextlib
import copy
import logging
import pickle
import traceback

import pytest
from slow_proxy import Fault

from deepseek_core import errors


@pytest.fixture
def seen(caplog):
    """Texts that a user, a log or another process would see."""
    caplog.set_level(logging.DEBUG)
    texts = []
    yield texts
    texts.append(caplog.text)


def fails(use, texts):
    with pytest.raises(errors.DeepSeekError) as caught:
        use()
    error = caught.value
    texts += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]


def test_no_secret_is_shown(proxy, seen, s3_server, open_s3, monkeypatch, capfd, caplog):
    far = open_s3("canary", endpoint=proxy.endpoint, retries=1)
    far.put_if_absent("object", b"content")
    seen += [repr(far), far.url, repr(vars(far)), repr(vars(far._client)), repr(far._options)]
    for store in far._client.stores.values():
        seen += [repr(store), repr(store.config), repr(store.client_options)]
    seen.append(repr(pickle.dumps(far)))
    for fault in (Fault("status", 403, "AccessDenied"), Fault("status", 500), Fault("reset")):
        proxy.fail(fault)
        fails(lambda: far.get("object"), seen)
        fails(lambda: far.put_if_absent("other", b"x"), seen)
        fails(lambda: list(far.list()), seen)
        fails(lambda: far.stat("object"), seen)
        proxy.heal()
    monkeypatch.setenv("WRONG", "a-wrong-secret-of-mine")
    fails(lambda: open_s3("x", secret_key="env:WRONG").get("x"), seen)
    fails(lambda: open_s3("x", secret_key="env:NOT_SET_ANYWHERE"), seen)
    with contextlib.suppress(errors.DeepSeekError):
        open_s3("x", secret_key=s3_server.secret_key)
    seen += [caplog.text, *capfd.readouterr()]
    everything = "\n".join(seen)
    assert "HTTP 403" in everything, "the errors were not collected"
    for canary in (s3_server.secret_key, s3_server.access_key, "a-wrong-secret-of-mine"):
        assert canary not in everything


def test_a_tier_is_pickled_as_its_url(far):
    far.put_if_absent("object", b"content")
    for twin in (pickle.loads(pickle.dumps(far)), copy.copy(far)):
        with twin:
            assert twin.url == far.url
            assert twin.get("object") == b"content"


def test_a_secret_that_is_not_there_is_told_by_its_name(open_s3, monkeypatch):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    with pytest.raises(errors.ConfigError, match="NOT_SET_ANYWHERE"):
        open_s3("x", secret_key="env:NOT_SET_ANYWHERE")


def test_a_secret_may_lie_in_a_file(open_s3, s3_server, tmp_path):
    file = tmp_path / "secret"
    file.write_text(s3_server.secret_key + "\n")
    assert open_s3("file", secret_key=f"file:{file}").put_if_absent("x", b"x")

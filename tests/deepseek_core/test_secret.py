"""Secrets: named, not written; revealed, not shown."""

import copy
import json
import pickle

import attrs
import pytest

from deepseek_core import Secret
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.secret import masked, scrub, shows_secret

TEXT = "hunter2-of-the-test"


@pytest.fixture
def secret(monkeypatch):
    """A secret in a variable."""
    monkeypatch.setenv("ZOO_TOKEN", TEXT)
    return Secret(env="ZOO_TOKEN")


def test_it_is_revealed_on_demand_from_a_variable_or_a_file(secret, tmp_path):
    assert secret.reveal() == TEXT
    (tmp_path / "token").write_text("kept-in-a-file-4c1e\n")
    assert Secret(file=tmp_path / "token").reveal() == "kept-in-a-file-4c1e"


def test_a_changed_source_counts(secret, monkeypatch):
    monkeypatch.setenv("ZOO_TOKEN", "rotated-token")
    assert secret.reveal() == "rotated-token"


@attrs.frozen(kw_only=True)
class Holder:
    """What a plugin may have."""

    token: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>3}".format,
        lambda s: f"{s:>20}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031 - one more way to print
        lambda s: json.dumps({"a": s}, default=str),
        lambda s: repr(Holder(token=s)),
        lambda s: repr([s, {s: s}]),
        lambda s: repr(vars(type(s))),
    ],
)
def test_it_is_never_printed(show, secret):
    secret.reveal()
    assert TEXT not in show(secret)


def test_it_is_not_json_and_not_pickled(secret):
    with pytest.raises(TypeError):
        json.dumps(secret)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Holder(token=secret))


def test_it_is_a_value(secret):
    assert secret == Secret(env="ZOO_TOKEN") != Secret(env="OTHER")
    assert hash(secret) == hash(Secret(env="ZOO_TOKEN"))
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    with pytest.raises(AttributeError):
        secret.env = "x"
    assert secret.source == "variable ZOO_TOKEN"


def test_it_has_one_source():
    for sources in ({}, {"env": "A", "file": "b"}, {"env": ""}):
        with pytest.raises(ConfigError):
            Secret(**sources)


@pytest.mark.parametrize(
    "value", [TEXT, {"env": 3}, {}, {"env": "A", "file": "b"}, {"token": TEXT}, [TEXT], None]
)
def test_a_configuration_only_names_it(value):
    with pytest.raises(ConfigError, match=r"x\.toml token is a secret") as caught:
        Secret.of(value, where="x.toml token")
    assert TEXT not in str(caught.value)
    assert "{ env" in caught.value.remedy


def test_a_relative_file_is_beside_the_configuration(tmp_path):
    (tmp_path / "token").write_text("beside")
    assert Secret.of({"file": "token"}, where="", folder=tmp_path).reveal() == "beside"


@pytest.mark.parametrize("sources", [{"env": "ZOO_NOT_SET"}, {"file": "no/such/file"}])
def test_what_is_not_there_is_named(sources):
    with pytest.raises(ConfigError, match=next(iter(sources.values()))):
        Secret(**sources).reveal()


def test_a_huge_or_binary_file_is_no_secret(tmp_path):
    for content in (b"\xff\xfe", b"x" * 70_000):
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(ConfigError):
            Secret(file=tmp_path / "token").reveal()


def test_texts_are_scrubbed_of_every_secret_known(secret):
    assert scrub(f"login with {TEXT} failed") == "login with **** failed"
    assert masked({"a": [f"x{TEXT}", 1, None]}) == {"a": ["x****", 1, None]}
    assert shows_secret([TEXT]) and not shows_secret(secret)


def test_a_revealed_secret_is_scrubbed_after_its_variable_is_gone(secret, monkeypatch):
    secret.reveal()
    monkeypatch.delenv("ZOO_TOKEN")
    assert scrub(TEXT) == "****"


def test_each_line_of_a_long_secret_is_scrubbed(monkeypatch):
    monkeypatch.setenv("ZOO_KEY", "-----BEGIN ZOO KEY\nMIIEvQIBADAN\n")
    Secret(env="ZOO_KEY")
    assert scrub("key is MIIEvQIBADAN") == "key is ****"

"""URLs are opened with errors that say what to do, and told without passwords."""

import builtins
from importlib.util import find_spec

import pytest

from deepseek_core import console, errors


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://me:secret@host/parts", "sftp://host/parts"),
        ("https://token@host/x?at=a@b", "https://host/x?at=a@b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("http://me:p@ss@host:80/x", "http://host:80/x"),
        ("simplecache::ftp://me:secret@host/x", "simplecache::ftp://host/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("git+ssh://git:secret@host/x", "git+ssh://host/x"),
        ("no http://a:b@h/x, nor ftp://c:d@h/y", "no http://h/x, nor ftp://h/y"),
        ("/a/folder", "/a/folder"),
    ],
)
def test_a_url_is_told_without_its_password(text, shown):
    assert console.without_password(text) == shown


@pytest.mark.parametrize(
    ("url", "kind", "said", "remedy"),
    [
        ("ftp://me:secret@127.0.0.1:1/x", errors.InputError, "Refused", "the connection"),
        ("s3://bucket/x", errors.ConfigError, "can't be opened here", "pip install s3fs"),
        ("nosuch://x", errors.ConfigError, "is not a URL that fsspec opens", "ds://KEY"),
    ],
)
def test_what_does_not_open_says_what_to_do(url, kind, said, remedy):
    if url.startswith("s3") and find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(kind, match=said) as refused:
        console.open_url(url)
    assert remedy in refused.value.remedy
    assert "secret" not in str(refused.value)


def test_without_fsspec_it_is_that_which_is_to_be_installed(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "fsspec":
            raise ModuleNotFoundError(f"No module named {name!r}", name="fsspec")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(errors.ConfigError, match="No module named") as refused:
        console.open_url("http://host/x")
    assert refused.value.remedy == "pip install fsspec"


def test_a_path_opens_as_a_url_does(tmp_path):
    (tmp_path / "a").write_bytes(b"here")
    for url in (str(tmp_path), tmp_path.as_uri()):
        system, path = console.open_url(url)
        assert system.cat_file(f"{path}/a") == b"here"

"""Of which format a model is that comes as bytes."""

import pytest

from deepseek_core import FrontendSpec
from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.models import as_artifact

SPECS = {
    "graph": {},
    "program": {"magic": b"PK\x03\x04"},
    "engine": {"needs_file": True},
    "other": {},
}


def read(content, *names, format=None):
    """The format, with readers of these."""
    frontends = tuple(
        Registered(
            record=FrontendSpec(name=name, formats=[name], factory="a.b:C", **SPECS[name]),
            plugin=name,
            dist=name,
            version="1",
        )
        for name in names
    )
    registry = Registry(plugins=(), switches=Switches(), frontends=frontends)
    return as_artifact(content, format, registry).format


@pytest.mark.parametrize(
    ("content", "names", "format"),
    [
        (b"\x08\x0a", ["graph"], "graph"),
        (b"\x08\x0a", ["graph", "program", "engine"], "graph"),
        (b"", ["graph", "program", "engine"], "graph"),
        (b"PK\x03\x04 and so on", ["graph", "program", "engine"], "program"),
        (b"PK\x03\x04 and so on", ["graph", "other", "program"], "program"),
    ],
)
def test_it_is_told_by_the_bytes_or_by_what_is_left(content, names, format):
    assert read(content, *names) == format


@pytest.mark.parametrize("names", [["graph", "other"], ["program"], ["engine"], []])
def test_a_guess_is_not_made(names):
    with pytest.raises(ArtifactError, match="bytes do not tell their format") as caught:
        read(b"\x08\x0a", *names)
    assert all(name in str(caught.value) for name in names)


def test_a_format_that_is_told_counts():
    assert read(b"PK\x03\x04", "graph", "program", format="graph") == "graph"


class Model:
    """An object that serializes itself, of a library that names no format."""

    def SerializeToString(self):
        return b"PK\x03\x04"


def test_an_object_is_told_by_what_it_is_as_bytes():
    assert read(Model(), "graph", "program") == "program"

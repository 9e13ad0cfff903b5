"""Files beside an artifact: only those that belong to it, whatever their names and links."""

import os

import pytest

from deepseek_core import Artifact


@pytest.fixture
def model(tmp_path):
    """A model in a folder, with data there and below, and something that is not its own."""
    (tmp_path / "model" / "more").mkdir(parents=True)
    for name in ("model/model.onnx", "model/data.bin", "model/more/data.bin", "secret"):
        (tmp_path / name).write_text(name)
    return Artifact.from_path(tmp_path / "model" / "model.onnx")


@pytest.mark.parametrize("name", ["data.bin", "more/data.bin", "./data.bin"])
def test_names_below_its_folder_are_found(model, name):
    assert model.beside(name) == model.path.parent / name
    assert model.folders == (model.path.parent, model.path.parent)


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "more/../../secret", "a\0b"])
def test_names_that_lead_out_of_it_are_not(model, name):
    assert model.beside(name) is None


def test_neither_are_whole_paths_and_links_out_of_it(model, tmp_path):
    assert model.beside(str(tmp_path / "secret")) is None
    for link, target in (("link", "../secret"), ("circle", "circle")):
        (model.path.parent / link).symlink_to(target)
    (model.path.parent / "all").symlink_to(tmp_path)
    assert model.beside("link") is None
    assert model.beside("all/secret") is None
    assert model.beside("circle") == model.path.parent / "circle"  # no file, and nobody else's


def test_a_link_to_it_has_its_own_folder_and_that_of_the_file(model, tmp_path):
    main, blobs = tmp_path / "main", model.path.parent
    main.mkdir()
    for name in ("model.onnx", "data.bin"):
        (main / name).symlink_to(os.path.relpath(blobs / name, main))
    (main / "own.bin").write_text("own")
    linked = Artifact.from_path(main / "model.onnx")
    assert linked.folders == (main, blobs)
    assert linked.beside("data.bin") == blobs / "data.bin"
    assert linked.beside("own.bin") == main / "own.bin"


def test_what_lies_in_no_file_has_nothing_beside_it():
    made = Artifact.from_bytes(b"x", format="onnx")
    assert made.folders == ()
    assert made.beside("data.bin") is None

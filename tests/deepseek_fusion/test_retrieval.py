"""Retrieval: the matcher finds the same neighbors as plain sorting, through a session."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from deepseek_core import Session, errors
from deepseek_fusion.retrieval import Neighbors, Retriever, share_right


@pytest.fixture(scope="module")
def session():
    """One session for all searches."""
    with Session(threads=1) as opened:
        yield opened


def unit(rows: int, seed: int):
    """Draw unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_neighbors_are_those_of_plain_sorting(session) -> None:
    gallery, queries = unit(50, 0), unit(7, 1)
    found = Retriever(session, gallery, neighbors=3).nearest(queries)
    distances = ((queries[:, None] - gallery) ** 2).sum(2)
    assert np.array_equal(found.indices, np.argsort(distances, 1, kind="stable")[:, :3])
    assert np.allclose(found.distances, np.sort(distances, 1)[:, :3], atol=1e-5)


def test_of_equals_the_first_is_taken(session) -> None:
    gallery = np.repeat(unit(1, 0), 5, axis=0)
    assert Retriever(session, gallery).nearest(unit(2, 1)).indices.ravel().tolist() == [0, 0]


def test_a_device_is_offered_the_operator_and_not_its_body(session) -> None:
    operations = [one.name for stage in Retriever(session, unit(4, 0)).graph.stages
                  for one in stage.operations]  # fmt: skip
    assert operations == ["MatchL2"]


def test_what_can_not_be_searched_is_refused(session) -> None:
    gallery = unit(4, 0)
    for neighbors in (0, 5):
        with pytest.raises(errors.InputError, match="neighbors"):
            Retriever(session, gallery, neighbors=neighbors)
    with pytest.raises(errors.InputError, match="NaN"):
        Retriever(session, np.full_like(gallery, np.nan))
    with pytest.raises(errors.TensorMismatch, match="the gallery"):
        Retriever(session, gallery[:0])
    with pytest.raises(errors.TensorMismatch, match="7 wide"):
        Retriever(session, gallery).nearest(gallery[:, :7])


def test_a_query_is_right_where_the_nearest_is_of_its_class() -> None:
    found = Neighbors(np.array([[2, 0], [1, 2]]), np.zeros((2, 2), np.float32))
    assert share_right(found, np.array([5, 6]), np.array([6, 6, 5])).tolist() == [True, True]
    assert share_right(found, np.array([6, 5]), np.array([6, 6, 5])).tolist() == [False, False]

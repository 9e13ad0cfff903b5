"""The tensor that scores classes, in outputs as model libraries make them."""

import dataclasses

import numpy as np
import pytest

from deepseek_compress.train.outputs import logits_of
from deepseek_core import errors

SCORES = np.ones((2, 3))


class AttributeDict(dict):
    __getattr__ = dict.__getitem__  # raises KeyError, as many do


@dataclasses.dataclass
class Record:
    logits: np.ndarray


FOUND = {
    "array": SCORES,
    "attributes": AttributeDict(loss=None, logits=SCORES, hidden=SCORES + 1),
    "mapping": {"scores": SCORES, "loss": None},
    "tuple": (SCORES, None),
}


@pytest.mark.parametrize("name", FOUND)
def test_scores_are_found(name):
    assert logits_of(FOUND[name]) is SCORES


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        (Record(SCORES), 'let it give a dict: {"logits": ...}'),
        ((SCORES, SCORES), "or train by finetune"),
        (3.0, "let it give one tensor"),
    ],
)
def test_several_or_none_are_refused(output, remedy):
    with pytest.raises(errors.InputError) as refused:
        logits_of(output)
    assert remedy in refused.value.remedy

"""Errors cross processes: every one of the hierarchy comes out of a pickle as it went in."""

import inspect
import pickle

import pytest

import deepseek_store.errors
from deepseek_core import errors

KINDS = [
    kind
    for module in (errors, deepseek_store.errors)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, errors.DeepSeekError)
]
GIVEN = {"url": "s3://b/k", "refusals": {"cpu": "no"}, "lost": (1, 2), "found": 7}


def _made(kind):
    names = [
        name
        for name, one in inspect.signature(kind).parameters.items()
        if one.kind is one.KEYWORD_ONLY and name != "remedy" and one.default is one.empty
    ]
    return kind("what", remedy="do", **{name: GIVEN.get(name, "x") for name in names})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_a_pickle(kind):
    error = _made(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_outage_is_an_os_error_that_may_be_tried_again():
    error = errors.TierUnavailable("it is down", url="s3://b", remedy="try again")
    assert isinstance(error, OSError)
    assert error.retryable
    assert str(error) == "it is down -> try again"

"""The face: what users and plugins import, and the page of hooks."""

import inspect

import pytest

import deepseek_core
from deepseek_core import hooks
from deepseek_core.discovery.hooks import HOOK_NAMES

MOST_NAMES = 61
SPECS = [getattr(hooks, name) for name in HOOK_NAMES]


def test_all_and_reality_agree():
    homes = {*deepseek_core._HOME, *deepseek_core._MODULES}
    assert sorted(homes) == sorted(deepseek_core.__all__)
    assert len(set(deepseek_core.__all__)) == len(deepseek_core.__all__)
    assert dir(deepseek_core) == sorted(deepseek_core.__all__)


def test_the_face_is_small():
    assert len(deepseek_core.__all__) <= MOST_NAMES


@pytest.mark.parametrize("name", deepseek_core.__all__)
def test_each_name_is_there_and_explains_itself(name):
    value = getattr(deepseek_core, name)
    assert inspect.getdoc(value)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        deepseek_core.Sesion  # noqa: B018 - the access is what is tested


def test_nothing_is_defined_in_the_face():
    for name in deepseek_core._HOME:
        assert getattr(deepseek_core, name).__module__.startswith("deepseek_core.")


@pytest.mark.parametrize("spec", SPECS, ids=HOOK_NAMES)
def test_each_hook_has_one_plain_argument(spec):
    (parameter,) = inspect.signature(spec).parameters.values()
    assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    assert parameter.default is parameter.empty


@pytest.mark.parametrize("spec", SPECS, ids=HOOK_NAMES)
def test_each_hook_is_documented_with_an_example(spec):
    first, _, rest = inspect.getdoc(spec).partition("\n\n")
    assert len(first) < 70
    assert "Example: `" in rest


def test_the_hooks_of_the_page_are_these():
    assert HOOK_NAMES == (
        "ds_on_event",
        "ds_register_applications",
        "ds_register_checks",
        "ds_register_commands",
        "ds_register_compressors",
        "ds_register_devices",
        "ds_register_executors",
        "ds_register_frontends",
        "ds_register_parallel_strategies",
        "ds_register_storage_tiers",
    )

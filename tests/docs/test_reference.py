"""Every public name has an entry in the reference, and an example that the tests run."""

import importlib
import inspect
import re

import contracts
import pytest
from doc_blocks import DOCS, blocks_of
from examples import PAGES, names_of, where

import deepseek_core
from deepseek_core import compression, places

MODULES = {
    "deepseek_core": deepseek_core.__all__,
    "deepseek_core.compression": compression.__all__,
    "deepseek_core.places": [
        name
        for name, item in vars(places).items()
        if getattr(item, "__module__", "") == places.__name__
    ],
    **{
        name: importlib.import_module(name).__all__
        for name in ("deepseek_core.testing", "deepseek_store", "deepseek_trt", "deepseek_parallel")
    },
}
NAMES = [(module, name) for module, names in MODULES.items() for name in names]


def test_the_list_of_names_is_not_empty():
    assert len(NAMES) > 100
    assert all(MODULES.values())


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_has_an_example_that_uses_it(module, name):
    place = where(name)
    assert place, f"no heading of {', '.join(PAGES)} names `{name}` of {module}"
    assert re.search(rf"\b{name}\b", place.code), f"the example at {place.link} does not use {name}"


def test_each_example_is_run_by_the_tests():
    for page in PAGES:
        blocks = blocks_of((DOCS / "reference" / page).read_text())
        assert {block.language for block in blocks} <= {"python", "text"}
        assert any(block.language == "text" for block in blocks)


@pytest.mark.parametrize(
    "item", [getattr(deepseek_core, n) for g in contracts.GROUPS.values() for n in g]
)
def test_an_entry_leads_to_its_example(item):
    assert f"]({where(item.__name__).link})" in contracts.section(item)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_public_name_says_what_it_is(module, name):
    holder = getattr(deepseek_core, module.removeprefix("deepseek_core."), None)
    item = getattr(holder if inspect.ismodule(holder) else importlib.import_module(module), name)
    assert (inspect.getdoc(item) or "").strip()


def test_no_example_is_for_a_name_that_is_gone():
    known = {name for _, name in NAMES} | {"deepseek_core.testing"}
    assert {name for page in PAGES for name in names_of(page)} <= known

"""Profiles, targets and options: what is read, and what is refused with a way out."""

import pytest
from trt_models import F32, I64, X, model, node, one

from deepseek_core import errors
from deepseek_trt import BuildOptions, Profile, check
from deepseek_trt.target import as_targets

DYNAMIC = one("Relu", shape=("n", 3, 4))


def rules(given, **options):
    return {p.rule for p in check(given, **options).problems if p.level == "error"}


def test_a_profile_is_read_with_its_three_rows():
    read = Profile.parse("x=1x3x224x224:8x..:32x3x448x448")
    assert (read.min, read.opt) == ((1, 3, 224, 224), (8, 3, 224, 224))
    assert (read.max, read.of) == ((32, 3, 448, 448), "shape")


def test_one_row_is_all_three():
    read = Profile.parse("a=b=2x3")
    assert (read.input, read.min, read.opt, read.max) == ("a=b", (2, 3), (2, 3), (2, 3))


def test_values_of_an_input_that_holds_sizes():
    read = Profile.parse("n=@1:@4:@16")
    assert (read.of, read.max) == ("values", (16,))


@pytest.mark.parametrize(
    "text",
    ["", "x", "=1", "x=", "x=1:2", "x=1:2:3:4", "x=1,2", "x=ax2", "x=1x2:1x3x..:2x2", "x=..:1:1",
     "x=1x2:1:1x2", "x=2:1:3", "x=1:2:1", "x=-1x2", "x=99999999999", "x=1x..:2:3", "x=@1:2:3"],
)  # fmt: skip
def test_a_profile_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(errors.ConfigError) as told:
        Profile.parse(text)
    assert "x=1x3x224x224" in told.value.remedy


def test_a_profile_survives_its_json():
    read = Profile.parse("n=@1:@4:@16")
    assert Profile.from_json(read.to_json()) == read


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ((), {"profile"}),
        (("x=1x3x4:2x3x4:8x3x4",), set()),
        (("x=1x3:2x3:8x3",), {"profile_rank"}),
        (("x=1x5x4:2x5x4:8x5x4",), {"profile_fixed"}),
        (("z=1:1:1",), {"profile_name", "profile"}),
        (("x=1x3x4", "x=2x3x4"), {"profile_twice"}),
    ],
)
def test_profiles_fit_their_inputs(profiles, expected):
    assert rules(DYNAMIC, profiles=[Profile.parse(text) for text in profiles]) == expected


def test_lengths_of_one_name_have_ranges_with_a_number_in_common():
    shared = model([node("Add", ["x", "z"], ["y"])], [("x", F32, ["n", 3]), ("z", F32, ["n", 3])])
    profiles = {"x": "x=1x3:2x3:4x3", "z": "z=5x3:6x3:8x3"}
    assert rules(shared, profiles=map(Profile.parse, profiles.values())) == {"profile_length"}
    profiles["z"] = "z=2x3:2x3:8x3"
    assert not rules(shared, profiles=[Profile.parse(text) for text in profiles.values()])


def test_an_input_that_holds_sizes_needs_values():
    sized = model([node("Reshape", ["x", "s"], ["y"])], [*X, ("s", I64, [2])])
    assert rules(sized) == {"profile"}
    assert not rules(sized, profiles=[Profile.parse("s=@4x6")])


def test_targets_are_sorted_and_each_once():
    assert as_targets("12.0,8.6,8.6,8.9") == ("8.6", "8.9", "12.0")


@pytest.mark.parametrize("given", ["", "86", "sm86", "8.6,", "8", "8.66", [], [8.6]])
def test_targets_that_are_none_are_refused(given):
    with pytest.raises(errors.ConfigError, match="compute capability"):
        as_targets(given)


@pytest.mark.parametrize(
    "options",
    [{"workspace_nbytes": -1}, {"workspace_nbytes": 1.5}, {"time_limit_s": 0}, {"tf32": 1},
     {"time_limit_s": float("inf")}, {"time_limit_s": float("nan")}, {"time_limit_s": "9"}],
)  # fmt: skip
def test_options_are_checked_where_they_enter(options):
    with pytest.raises(errors.ConfigError):
        BuildOptions(targets="8.6", **options)


def test_options_survive_the_way_to_a_child():
    options = BuildOptions(
        targets="8.6,8.9", profiles=[Profile.parse("x=1:2:3")], tf32=False, time_limit_s=7
    )
    assert BuildOptions.from_json(options.to_json()) == options


def test_turing_lacks_fp32_products_and_bfloat16():
    from trt_models import BF16, two

    product = two("MatMul", __import__("numpy").ones((4, 5), "float32"))
    assert rules(product, targets=["7.5"]) == {"turing_gemm"}
    assert not rules(product, targets=["8.0"])
    assert rules(one("Relu", BF16), targets=["7.5", "8.0"]) == {"target_type"}


def test_what_only_rtx_lacks_is_no_error_for_full_tensorrt():
    found = one("NonZero", out=I64)
    assert rules(found) == {"plugin"}
    assert not rules(found, flavor="tensorrt")

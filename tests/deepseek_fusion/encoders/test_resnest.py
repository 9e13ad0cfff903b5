"""ResNeSt computes what the authors' release computes, at any size, and takes its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import drawn, fill

from deepseek_core import errors
from deepseek_fusion.encoders import ResNeSt, ResNeStConfig, load_released
from deepseek_fusion.encoders.parts.split_attention import SplitAttention

GOLDEN = np.load(Path(__file__).parent / "golden" / "resnest.npz")


def small(**changes):
    torch.manual_seed(0)
    return ResNeSt(ResNeStConfig.named("resnest-small", channels=1, **changes)).eval()


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnest50", 27_483_240), ("resnest101", 48_275_016)]
)
def test_parameters_are_as_many_as_published(name, parameters):
    with torch.device("meta"):
        network = ResNeSt(ResNeStConfig.named(name, classes=1000))
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "size"), [("resnest50", (64, 64)), ("resnest50", (97, 75)), ("resnest101", (64, 64))]
)
def test_it_gives_the_logits_of_the_release(name, size):
    """The weights come by their names, so these are the same, too."""
    network = fill(ResNeSt(ResNeStConfig.named(name, classes=10)))
    shape = "{}x{}".format(*size)
    with torch.no_grad():
        logits = network(drawn(f"pictures {shape}", 2, 3, *size))
    assert np.abs(logits.numpy() - GOLDEN[f"{name}_{shape}"]).max() < 1e-5


@pytest.mark.parametrize(("radix", "groups"), [(1, 1), (2, 2), (4, 1)])
def test_split_attention_is_that_of_the_release(radix, groups):
    layer = fill(SplitAttention(16, radix, groups))
    with torch.no_grad():
        found = layer(drawn("map", 2, 16, 9, 7))
    assert np.abs(found.numpy() - GOLDEN[f"split_{radix}_{groups}"]).max() < 1e-5


@pytest.mark.parametrize("size", [(28, 28), (29, 31), (1, 1), (7, 64)])
def test_every_size_of_picture_gives_a_token_for_each_cell(size):
    tokens, mask, state = small(width=24).encode(torch.randn(2, 1, *size))
    cells = int(np.prod([(side + 3) // 4 for side in size]))  # halved twice, rounded up
    assert tokens.shape == (2, cells, 24)
    assert mask.all()
    assert mask.shape == (2, cells)
    assert not state


def test_the_forward_pass_gives_the_mean_of_the_map_where_there_is_no_classifier():
    network, x = small(), torch.randn(2, 1, 20, 20)
    assert torch.allclose(network(x), network.encode(x).tokens.mean(1), atol=1e-6)


def test_channels_last_and_strided_pictures_change_nothing():
    network, x = small(), torch.randn(3, 1, 24, 24)
    wanted = network.encode(x).tokens
    strided = torch.randn(3, 1, 48, 24)[:, :, ::2].copy_(x)
    assert not strided.is_contiguous()
    for other in (x.to(memory_format=torch.channels_last), strided):
        assert torch.allclose(network.encode(other).tokens, wanted, atol=1e-5)


def test_a_picture_alone_is_trained_on_by_no_statistics():
    network = small().train()
    with pytest.raises(errors.TensorMismatch, match="no batch statistics"):
        network.encode(torch.randn(1, 1, 20, 20))
    network.encode(torch.randn(2, 1, 20, 20)).tokens.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("shape", [(2, 3, 20, 20), (2, 20, 20), (2, 1, 0, 20)])
def test_pictures_of_other_axes_are_refused(shape):
    with pytest.raises(errors.TensorMismatch):
        small().encode(torch.randn(shape))


def test_a_state_is_refused_where_there_is_none():
    with pytest.raises(errors.InputError, match="foreign wavenet_block0"):
        small().encode(torch.randn(2, 1, 8, 8), None, {"wavenet_block0": torch.zeros(2, 1)})


@pytest.mark.parametrize(
    "changes",
    [
        {"planes": (16, 32)},
        {"planes": (15, 30, 60), "groups": 2},
        {"blocks": (1, 0, 1)},
        {"radix": 0},
        {"width": -1},
        {"depth": 3},
    ],
)
def test_sizes_that_make_no_network_are_refused(changes):
    with pytest.raises(errors.ConfigError):
        ResNeStConfig.named("resnest-small", **changes)


def test_a_name_that_nobody_published_is_refused():
    with pytest.raises(errors.ConfigError, match="resnest-small, resnest101, resnest50"):
        ResNeStConfig.named("resnest18")


class TestReleasedWeights:
    """What a file of weights may be."""

    def test_a_classifier_is_left_out_where_the_network_has_none(self, tmp_path):
        given, network = small(classes=7), small(width=24)
        for p in given.parameters():
            torch.nn.init.uniform_(p, -0.1, 0.1)
        before = network.project.weight.clone()
        torch.save(
            {f"module.{n}": t for n, t in given.state_dict().items()}, tmp_path / "given.pth"
        )
        load_released(network, tmp_path / "given.pth")
        x = torch.randn(2, 1, 12, 12)
        assert torch.equal(network._map(x), given._map(x))
        assert torch.equal(network.project.weight, before)

    def test_names_and_shapes_that_do_not_fit_change_nothing(self, tmp_path):
        network = small(classes=7)
        before = {n: t.clone() for n, t in network.state_dict().items()}
        other = {n: t for n, t in small(classes=9).state_dict().items() if n != "bn1.bias"}
        torch.save(other | {"extra.weight": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(errors.InputError) as refused:
            load_released(network, tmp_path / "other.pth")
        for part in ("lacks bn1.bias", "besides extra.weight", "fc.weight [9, 256] for [7, 256]"):
            assert part in str(refused.value)
        assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())

    @pytest.mark.parametrize("content", [b"", b"no weights", "object", "numbers"])
    def test_a_file_of_something_else_is_refused(self, tmp_path, content):
        path = tmp_path / "weights.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save({"object": small(), "numbers": {"a": 1}}[content], path)
        with pytest.raises(errors.ArtifactError, match=r"weights\.pth"):
            load_released(small(), path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(errors.ArtifactError, match="No such file"):
            load_released(small(), tmp_path / "nowhere.pth")

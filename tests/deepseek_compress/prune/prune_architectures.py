"""Architectures that packages of the public index define, with random weights.

None of the packages is needed to install the SDK; what is not there is left out with the reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import attrs
import torch
from torch import Tensor, nn


@attrs.frozen(kw_only=True)
class Architecture:
    """A model of a package: the distribution it comes with, how it is made, what it gets."""

    name: str
    package: str
    make: Callable[[], nn.Module]
    example: Callable[[], Any]


def picture(size: int = 64, channels: int = 3) -> Callable[[], Tensor]:
    return lambda: torch.randn(1 if size > 100 else 2, channels, size, size)


def _made(module: str, name: str, *args: Any, **options: Any) -> Callable[[], nn.Module]:
    """Call a name of a module, silently."""

    def make() -> nn.Module:
        with redirect_stdout(io.StringIO()):
            return getattr(import_module(module), name)(*args, **options)

    return make


def _of_pytorchcv(name: str, file: str, size: int = 64, **options: Any) -> Architecture:
    """A model by its file: the package's own table of models imports what needs torchvision."""
    make = _made(f"pytorchcv.models.{file}", name, **options)
    return Architecture(name=name, package="pytorchcv", make=make, example=picture(size))


ARCHITECTURES = [
    Architecture(
        name="EfficientNet-Lite0",
        package="efficientnet_lite_pytorch",
        make=lambda: import_module("efficientnet_lite_pytorch").EfficientNet.from_name(
            "efficientnet-lite0"
        ),
        example=picture(),
    ),
    Architecture(
        name="EfficientNet-B0",
        package="efficientnet_pytorch",
        make=lambda: import_module("efficientnet_pytorch").EfficientNet.from_name(
            "efficientnet-b0"
        ),
        example=picture(),
    ),
    _of_pytorchcv("resnet18", "resnet", 224),
    _of_pytorchcv("seresnet18", "seresnet", 224),
    _of_pytorchcv("preresnet18", "preresnet", 224),
    _of_pytorchcv("resnext26_32x4d", "resnext", 224),
    _of_pytorchcv("mobilenetv2_wd4", "mobilenetv2", 224),
    _of_pytorchcv("mobilenetv3_small_w7d20", "mobilenetv3", 224),
    _of_pytorchcv("ghostnet", "ghostnet", 224),
    _of_pytorchcv("densenet121", "densenet", 224),
    _of_pytorchcv("squeezenet_v1_1", "squeezenet", 224),
    _of_pytorchcv("shufflenet_g3_wd4", "shufflenet", 224),
    _of_pytorchcv("shufflenetv2_wd2", "shufflenetv2", 224),
    _of_pytorchcv("efficientnet_b0", "efficientnet"),
    _of_pytorchcv("bninception", "bninception", 224),
    _of_pytorchcv("diracnet18v2", "diracnetv2", 224),
    _of_pytorchcv("menet108_8x1_g3", "menet", 224),
    _of_pytorchcv("dla34", "dla", 224),
    _of_pytorchcv("darknet53", "darknet53", 224),
    _of_pytorchcv("hrnet_w18_small_v1", "hrnet", 224),
    _of_pytorchcv("selecsls42", "selecsls", 224),
    _of_pytorchcv("proxylessnas_mobile", "proxylessnas", 224),
    _of_pytorchcv("cbam_resnet18", "cbamresnet", 224),
    _of_pytorchcv("sknet50", "sknet", 224),
    _of_pytorchcv("peleenet", "peleenet", 224),
    _of_pytorchcv("regnetx002", "regnet"),
    _of_pytorchcv("mixnet_s", "mixnet", 224),
    _of_pytorchcv("fbnet_cb", "fbnet", 224),
    _of_pytorchcv("resnesta18", "resnesta"),
    _of_pytorchcv("ibn_resnet50", "ibnresnet", 224),
    _of_pytorchcv("airnet50_1x64d_r2", "airnet", 224),
    _of_pytorchcv("inceptionresnetv1", "inceptionresnetv1", 299),
    _of_pytorchcv("unet_cityscapes", "unet", in_size=(64, 64)),
    _of_pytorchcv(
        "bisenet_resnet18_celebamaskhq", "bisenet", pretrained_backbone=False, in_size=(64, 64)
    ),
    _of_pytorchcv("erfnet_cityscapes", "erfnet", in_size=(64, 64)),
    Architecture(
        name="DenseNet-121",
        package="densenet_pytorch",
        make=lambda: import_module("densenet_pytorch").DenseNet.from_name("densenet121"),
        example=picture(),
    ),
    Architecture(
        name="Demucs",
        package="denoiser",
        make=_made("denoiser.demucs", "Demucs", hidden=16, depth=3),
        example=lambda: torch.randn(1, 1, 4000),
    ),
    Architecture(
        name="MLP-Mixer",
        package="mlp_mixer_pytorch",
        make=_made(
            "mlp_mixer_pytorch",
            "MLPMixer",
            image_size=32,
            channels=3,
            patch_size=8,
            dim=64,
            depth=2,
            num_classes=10,
        ),
        example=picture(32),
    ),
    Architecture(
        name="Conformer",
        package="conformer",
        make=_made("conformer", "ConformerBlock", dim=64, dim_head=16, heads=4),
        example=lambda: torch.randn(2, 20, 64),
    ),
    Architecture(
        name="U-Net",
        package="unet",
        make=_made(
            "unet",
            "UNet2D",
            in_channels=1,
            out_classes=2,
            num_encoding_blocks=3,
            padding=1,
            normalization="batch",
        ),
        example=picture(32, 1),
    ),
    Architecture(
        name="ResNeSt",
        package="resnest",
        make=_made("resnest.torch.resnest", "resnest50"),
        example=picture(64),
    ),
]

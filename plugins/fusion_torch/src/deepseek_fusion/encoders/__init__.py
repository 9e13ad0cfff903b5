"""Encoders of text, pictures and sound, each by the protocol of `deepseek_fusion.protocol`."""

from deepseek_fusion.encoders.resnest import ResNeSt, ResNeStConfig
from deepseek_fusion.encoders.resnest_weights import load_released
from deepseek_fusion.encoders.transformer_xl import TransformerXL, TransformerXLConfig
from deepseek_fusion.encoders.wavenet import WaveNet, WaveNetConfig

__all__ = [
    "ResNeSt",
    "ResNeStConfig",
    "TransformerXL",
    "TransformerXLConfig",
    "WaveNet",
    "WaveNetConfig",
    "load_released",
]

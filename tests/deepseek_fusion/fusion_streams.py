"""Cuts of a sequence, and the encoders that stream, for the tests that cut."""

import torch

from deepseek_fusion.encoders import (
    ResNeSt,
    ResNeStConfig,
    TransformerXL,
    TransformerXLConfig,
    WaveNet,
    WaveNetConfig,
)

KINDS = ("wavenet", "ids", "features")


def small(kind):
    """Give a small encoder of a kind, with biases that are not zero."""
    torch.manual_seed(0)
    if kind == "wavenet":
        made = WaveNet(
            WaveNetConfig(channels=2, strides=(2, 2), residual=6, width=10, dilations=(1, 2, 4))
        )
    else:
        given = {"vocabulary": 40} if kind == "ids" else {"features": 3}
        made = TransformerXL(
            TransformerXLConfig(**given, width=10, heads=2, head_width=4, inner=12, memory=5)
        )
    for name, p in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(p, std=0.3)
    return made.eval()


def sequence(kind, rows, frames, seed=0):
    """Draw an input of so many frames."""
    draw = torch.Generator().manual_seed(seed)
    if kind == "ids":
        return torch.randint(0, 40, (rows, frames), generator=draw)
    shape = (rows, 4 * frames, 2) if kind == "wavenet" else (rows, frames, 3)
    return torch.randn(shape, generator=draw)


def in_chunks(encoder, x, sizes, mask=None):
    """Encode chunk by chunk; `sizes` in frames, again and again until all is done."""
    state, found, at, turn = None, [], 0, 0
    while at < x.shape[1]:
        cut = slice(at, at + sizes[turn % len(sizes)] * encoder.frame)
        out = encoder.encode(x[:, cut], None if mask is None else mask[:, cut], state)
        found.append(out.tokens)
        state, at, turn = out.state, cut.stop, turn + 1
    return torch.cat(found, 1), state


def pictures():
    """Give a small ResNeSt, and pictures of an odd size for it."""
    torch.manual_seed(0)
    config = ResNeStConfig(
        blocks=(1, 1), planes=(4, 8), stem=4, channels=1, width=6, small_pictures=True
    )
    return ResNeSt(config).eval(), torch.randn(2, 1, 9, 7)

"""A WaveNet as its paper defines it, a sum for every number: slow, and right."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def frames_of(encoder, x):
    """Run the front end by plain sums; x (steps, channels)."""
    for i, layer in enumerate(encoder.front):
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        stride = weight.shape[2]
        x = np.maximum(x, 0) if i else x
        cut = x[: len(x) // stride * stride].reshape(-1, stride, x.shape[1])
        x = np.einsum("fkc,rck->fr", cut, weight) + bias
    return x


def tokens_of(encoder, x):
    """Give the tokens (frames, width) of one clip (steps, channels)."""
    h = frames_of(encoder, np.asarray(x, dtype=np.float64))
    total = 0.0
    for block, dilation in zip(encoder.blocks, encoder.config.dilations, strict=True):
        get = {n: p.detach().double().numpy() for n, p in block.named_parameters()}
        both = np.zeros((len(h), len(get["both.bias"])))
        for t in range(len(h)):
            both[t] = get["both.bias"]
            for tap in range(encoder.config.kernel):
                back = t - dilation * (encoder.config.kernel - 1 - tap)
                if back >= 0:
                    both[t] += get["both.weight"][:, :, tap] @ h[back]
        half = both.shape[1] // 2
        gated = np.tanh(both[:, :half]) * sigmoid(both[:, half:])
        total = total + gated @ get["skip.weight"][:, :, 0].T + get["skip.bias"]
        if block.residual is not None:
            h = h + gated @ get["residual.weight"][:, :, 0].T + get["residual.bias"]
    last = {n: p.detach().double().numpy() for n, p in encoder.last.named_parameters()}
    return np.maximum(total, 0) @ last["weight"][:, :, 0].T + last["bias"]

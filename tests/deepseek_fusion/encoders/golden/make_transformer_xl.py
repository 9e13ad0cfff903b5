"""Writes transformer_xl.npz from Transformer-XL as in Hugging Face `transformers` 4.35.2.

Later versions have it no more. In a throw-away environment with torch, this SDK and
`pip install transformers==4.35.2`: `python make_transformer_xl.py`. Their queries see as many
keys as their memory is long, themselves included; so their memory is one longer than ours.
"""

from pathlib import Path

import numpy as np
import torch
from golden_weights import drawn, fill
from transformers import TransfoXLConfig, TransfoXLModel

from deepseek_fusion.encoders import TransformerXL, TransformerXLConfig

SIZES = {"vocabulary": 60, "width": 24, "layers": 3, "heads": 2, "head_width": 8, "inner": 40}
CASES = {"plain": ((), 1), "adaptive": ((10, 30), 2)}


def theirs(memory, cutoffs, division):
    config = TransfoXLConfig(
        vocab_size=60, d_model=24, d_embed=24, n_layer=3, n_head=2, d_head=8, d_inner=40,
        cutoffs=list(cutoffs), div_val=division, mem_len=memory, same_length=memory > 0,
        clamp_len=-1, adaptive=bool(cutoffs),
    )  # fmt: skip
    return TransfoXLModel(config).eval()


def copied(model, ours):
    """Copy weights of ours, by what they are called there."""
    mine = ours.state_dict()
    for i, (band, project) in enumerate(
        zip(model.word_emb.emb_layers, ours.embed.projections, strict=True)
    ):
        band.weight.copy_(mine[f"embed.bands.{i}.weight"])
        if list(project.parameters()):
            model.word_emb.emb_projs[i].copy_(project.weight)
    for theirs_, ours_ in zip(model.layers, ours.layers, strict=True):
        a, b = theirs_.dec_attn, ours_.attention
        a.qkv_net.weight.copy_(torch.cat([b.queries.weight, b.keys_values.weight]))
        a.r_net.weight.copy_(b.distances.weight)
        a.o_net.weight.copy_(b.out.weight)
        a.r_w_bias.copy_(b.content_bias)
        a.r_r_bias.copy_(b.distance_bias)
        a.layer_norm.load_state_dict(ours_.attention_norm.state_dict())
        theirs_.pos_ff.CoreNet[0].load_state_dict(ours_.feed[0].state_dict())
        theirs_.pos_ff.CoreNet[3].load_state_dict(ours_.feed[3].state_dict())
        theirs_.pos_ff.layer_norm.load_state_dict(ours_.feed_norm.state_dict())
    return model


def main():
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 60, (2, 14)))
    found = {"ids": ids.numpy()}
    for case, (cutoffs, division) in CASES.items():
        ours = fill(
            TransformerXL(
                TransformerXLConfig(**SIZES, memory=5, cutoffs=cutoffs, division=division)
            )
        )
        with torch.no_grad():
            whole = copied(theirs(0, cutoffs, division), ours)(ids)
            found[f"{case}_all"] = whole.last_hidden_state.numpy()
            model = copied(theirs(6, cutoffs, division), ours)
            mems = [drawn(f"memory {i}", 6, 2, 24) for i in range(3)]
            for part, piece in enumerate((ids[:, :9], ids[:, 9:])):
                out = model(piece, mems=mems)
                mems = out.mems
                found[f"{case}_part{part}"] = out.last_hidden_state.numpy()
            found[f"{case}_memory"] = torch.stack(mems).transpose(1, 2)[:, :, 1:].numpy()
    np.savez_compressed(Path(__file__).with_name("transformer_xl.npz"), **found)


if __name__ == "__main__":
    main()

"""safetensors: of numpy and torch, by bytes, and by a local copy that fsspec keeps."""

import fsspec
import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

fs = fsspec.filesystem("ds")
arrays = {"a": np.arange(50_000, dtype="f4").reshape(250, 200), "b": np.ones(3, dtype="i8")}
fs.pipe_file("weights/numpy.safetensors", safetensors.numpy.save(arrays))
found = safetensors.numpy.load(fs.cat_file("weights/numpy.safetensors"))
assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
tensors = {"w": torch.randn(64, 64), "h": torch.ones(5, dtype=torch.bfloat16)}
fs.pipe_file("weights/torch.safetensors", safetensors.torch.save(tensors))
loaded = safetensors.torch.load(fs.cat_file("weights/torch.safetensors"))
assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
local = fsspec.open_local("simplecache::ds://weights/torch.safetensors")
with safetensors.safe_open(local, framework="pt") as opened:
    assert torch.equal(opened.get_slice("w")[3:5], tensors["w"][3:5])
print("right")

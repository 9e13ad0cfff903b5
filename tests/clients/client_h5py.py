"""h5py: files that were put are read through open files, whole and by slices."""

import io

import fsspec
import h5py
import numpy as np

values = np.random.default_rng(1).normal(size=(500, 400)).astype("f4")
made = io.BytesIO()
with h5py.File(made, "w") as file:
    data = file.create_dataset("group/values", data=values, chunks=(50, 50), compression="gzip")
    data.attrs["unit"] = "m"
fs = fsspec.filesystem("ds")
fs.pipe_file("h5/file.h5", made.getbuffer())
for options in ({}, {"block_size": 4096}, {"cache_type": "none"}, {"cache_type": "blockcache"}):
    with fs.open("h5/file.h5", "rb", **options) as opened, h5py.File(opened, "r") as file:
        assert np.array_equal(file["group/values"][120:131, 7:160], values[120:131, 7:160])
        assert np.array_equal(file["group/values"][:], values)
        assert file["group/values"].attrs["unit"] == "m"
with fsspec.open("simplecache::ds://h5/file.h5") as opened, h5py.File(opened, "r") as file:
    assert list(file["group"]) == ["values"]
print("right")

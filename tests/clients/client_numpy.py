"""numpy: npy and npz files and text, and arrays that are put as they are."""

import os

import fsspec
import numpy as np

from deepseek_store import Store

fs = fsspec.filesystem("ds")
values = np.random.default_rng(1).normal(size=(200, 300))
for order in (values, np.asfortranarray(values), values[::2, ::3]):
    with fs.open("numpy/array.npy", "wb") as file:
        np.save(file, order)
    with fs.open("numpy/array.npy", "rb") as file:
        assert np.array_equal(np.load(file), order)
with fs.open("numpy/many.npz", "wb") as file:
    np.savez_compressed(file, a=values, b=np.arange(5))
with fs.open("numpy/many.npz", "rb") as file:
    many = np.load(file)
    assert np.array_equal(many["a"], values) and many["b"].tolist() == list(range(5))
with fs.open("numpy/table.txt", "w", encoding="utf-16") as file:
    np.savetxt(file, values)
with fs.open("numpy/table.txt", "r", encoding="utf-16") as file:
    assert np.allclose(np.loadtxt(file), values)
fs.pipe_file("numpy/raw", values)
assert np.array_equal(np.frombuffer(fs.cat_file("numpy/raw")).reshape(values.shape), values)
fs.close()
with Store(os.environ["DEEPSEEK_STORE_HOME"]) as store:
    assert store.put("raw", values.T).matches(values.T.tobytes())
    assert np.array_equal(np.frombuffer(store.get("raw")).reshape(300, 200), values.T)
print("right")

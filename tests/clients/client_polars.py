"""polars: Parquet, CSV and IPC through open files, lazily over a pyarrow data set.

Its own `read_parquet(URL)` asks nobody about schemes that it does not know.
"""

import fsspec
import polars as pl
import pyarrow.dataset

frame = pl.DataFrame({"x": range(5_000), "name": [f"é{n}" for n in range(5_000)]})
for kind in ("parquet", "csv", "ipc"):
    with fsspec.open(f"ds://polars/frame.{kind}", "wb") as file:
        getattr(frame, f"write_{kind}")(file)
    with fsspec.open(f"ds://polars/frame.{kind}", "rb") as file:
        assert getattr(pl, f"read_{kind}")(file).equals(frame), kind
fs = fsspec.filesystem("ds")
lazy = pl.scan_pyarrow_dataset(pyarrow.dataset.dataset("polars/frame.parquet", filesystem=fs))
assert lazy.filter(pl.col("x") > 4_990).select("x").collect()["x"].to_list() == list(
    range(4_991, 5_000)
)
print("right")

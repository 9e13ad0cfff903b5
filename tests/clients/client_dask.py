"""dask: data frames, text and arrays in parts, computed by threads and by processes."""

import dask
import dask.array
import dask.bag
import dask.dataframe as dd
import numpy as np
import pandas as pd


def main() -> None:
    """Write, and read in all ways."""
    frame = pd.DataFrame({"x": range(6_000), "part": [n % 3 for n in range(6_000)]})
    dd.from_pandas(frame, npartitions=4).to_parquet("ds://dask/frame")
    found = dd.read_parquet("ds://dask/frame")
    assert found.npartitions == 4 and int(found["x"].sum().compute()) == 5_999 * 3_000
    counts = found.groupby("part")["x"].count().compute()
    assert counts.sort_index().tolist() == [2_000] * 3
    dd.from_pandas(frame, npartitions=4).to_csv("ds://dask/csv/part-*.csv", index=False)
    assert len(dd.read_csv("ds://dask/csv/part-*.csv", blocksize=5_000)) == 6_000
    bag = dask.bag.from_sequence([f"line {n}" for n in range(1_000)], npartitions=3)
    bag.to_textfiles("ds://dask/text/*.txt.gz")
    for scheduler in ("threads", "processes"):
        with dask.config.set(scheduler=scheduler):
            lines = dask.bag.read_text("ds://dask/text/*.txt.gz").map(str.strip).compute()
            assert sorted(lines) == sorted(f"line {n}" for n in range(1_000))
    values = np.arange(40_000).reshape(200, 200)
    dask.array.from_array(values, chunks=(50, 50)).to_zarr("ds://dask/array.zarr")
    assert np.array_equal(dask.array.from_zarr("ds://dask/array.zarr").compute(), values)
    print("right")


if __name__ == "__main__":
    main()

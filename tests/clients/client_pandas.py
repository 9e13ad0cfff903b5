"""pandas: CSV, Parquet, JSON lines, pickle and Excel-free text, plain and compressed."""

import pandas as pd

frame = pd.DataFrame(
    {"x": range(3_000), "name": [f"é{n}" for n in range(3_000)], "y": [n / 7 for n in range(3_000)]}
)
frame.to_parquet("ds://tables/frame.parquet")
pd.testing.assert_frame_equal(pd.read_parquet("ds://tables/frame.parquet"), frame)
some = pd.read_parquet("ds://tables/frame.parquet", columns=["x"], filters=[("x", "<", 3)])
assert some["x"].tolist() == [0, 1, 2]
for suffix in ("csv", "csv.gz", "csv.bz2", "csv.xz"):
    frame.to_csv(f"ds://tables/frame.{suffix}", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(f"ds://tables/frame.{suffix}"), frame)
frame.to_csv("ds://tables/wide.csv", index=False, encoding="utf-16")
pd.testing.assert_frame_equal(pd.read_csv("ds://tables/wide.csv", encoding="utf-16"), frame)
frame.to_csv("ds://tables/frame.csv", index=False, header=False, mode="a")
assert len(pd.read_csv("ds://tables/frame.csv")) == 6_000
frame.to_json("ds://tables/frame.jsonl", orient="records", lines=True)
pd.testing.assert_frame_equal(pd.read_json("ds://tables/frame.jsonl", lines=True), frame)
frame.to_pickle("ds://tables/frame.pkl")
pd.testing.assert_frame_equal(pd.read_pickle("ds://tables/frame.pkl"), frame)
parts = list(pd.read_csv("ds://tables/frame.csv.gz", chunksize=1_000))
pd.testing.assert_frame_equal(pd.concat(parts), frame)
print("right")

"""datasets: saved to and loaded from `ds://`, streamed, and built from files that lie there."""

import os
import tempfile

os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HOME=tempfile.mkdtemp())

import datasets
import fsspec

datasets.disable_progress_bars()
fs = fsspec.filesystem("ds")
made = datasets.Dataset.from_dict({"x": list(range(500)), "text": [f"é{n}" for n in range(500)]})
made.save_to_disk("ds://hub/saved", num_shards=3)
found = datasets.load_from_disk("ds://hub/saved")
assert found.num_rows == 500 and found["text"] == made["text"]
made.to_parquet("ds://hub/data/train.parquet")
made.to_json("ds://hub/data/train.jsonl")
for kind, name in (("parquet", "train.parquet"), ("json", "train.jsonl")):
    for streaming in (False, True):
        rows = datasets.load_dataset(
            kind, data_files=f"ds://hub/data/{name}", split="train", streaming=streaming
        )
        assert [row["x"] for row in rows] == list(range(500)), (kind, streaming)
print("right")

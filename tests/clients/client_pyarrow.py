"""pyarrow: partitioned data sets, Parquet by row groups, CSV, Feather, a file system of its own."""

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileType, FSSpecHandler, PyFileSystem

fs = fsspec.filesystem("ds")
table = pa.table({"year": [2024, 2025] * 2_000, "x": list(range(4_000))})
pa.dataset.write_dataset(table, "set", format="parquet", filesystem=fs, partitioning=["year"])
found = pa.dataset.dataset("set", filesystem=fs, partitioning=["year"])
odd = found.to_table(filter=pa.dataset.field("year") == 2025)
assert sorted(odd["x"].to_pylist()) == list(range(1, 4_000, 2))
pa.dataset.write_dataset(
    table, "set", format="parquet", filesystem=fs, partitioning=["year"],
    existing_data_behavior="delete_matching",
)  # fmt: skip
assert found.count_rows() == 4_000
pq.write_table(table, "one.parquet", filesystem=fs, row_group_size=1_000)
assert pq.read_table("one.parquet", filesystem=fs).equals(table)
with fs.open("one.parquet") as file:
    assert pq.ParquetFile(file).read_row_group(2)["x"][0].as_py() == 2_000
pq.write_to_dataset(table, "parts", partition_cols=["year"], filesystem=fs)
assert pq.read_table("parts", filesystem=fs).num_rows == 4_000
arrow = PyFileSystem(FSSpecHandler(fs))
with arrow.open_output_stream("table.csv") as stream:
    pa.csv.write_csv(table, stream)
with arrow.open_input_stream("table.csv") as stream:
    assert pa.csv.read_csv(stream).equals(table)
with fs.open("table.feather", "wb") as file:
    pa.feather.write_feather(table, file)
with fs.open("table.feather") as file:
    assert pa.feather.read_table(file).equals(table)
arrow.create_dir("made/deep")
arrow.copy_file("table.csv", "made/copy.csv")
arrow.move("made/copy.csv", "made/deep/moved.csv")
kinds = {one.path: one.type for one in arrow.get_file_info(FileSelector("made", recursive=True))}
assert kinds == {"made/deep": FileType.Directory, "made/deep/moved.csv": FileType.File}
arrow.delete_dir_contents("made")
assert arrow.get_file_info(FileSelector("made")) == []
assert arrow.get_file_info("nothing").type == FileType.NotFound
print("right")

"""pandas, pyarrow, zarr and torch read and write `ds://`, bytes on a cold tier."""

import os

import fsspec
import pytest
from fs_stores import make_home, quick_folder

from deepseek_store.fs.filesystem import DeepSeekFileSystem

# torch says that one process saves for all.
ALONE = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")


@pytest.fixture(scope="module")
def home(request):
    with quick_folder() as folder:
        home = str(make_home("memory", request, folder))
        yield home
        DeepSeekFileSystem(home).close()


@pytest.fixture
def options(home):
    return {"home": home}


@pytest.fixture
def as_default(home, monkeypatch):
    """The store that URLs without one mean."""
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", home)


def is_cold(fs, path):
    return fs.info(path)["tier"] == "cold"


def test_pandas_writes_and_reads_parquet(fs, options):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"x": range(5_000), "name": [f"é{n}" for n in range(5_000)]})
    frame.to_parquet("ds://pandas/table.parquet", storage_options=options)
    assert is_cold(fs, "pandas/table.parquet")
    found = pandas.read_parquet("ds://pandas/table.parquet", storage_options=options)
    pandas.testing.assert_frame_equal(found, frame)
    some = pandas.read_parquet(
        "ds://pandas/table.parquet", storage_options=options, columns=["x"], filters=[("x", "<", 3)]
    )
    assert some["x"].tolist() == [0, 1, 2]


def test_pandas_needs_no_options_where_the_environment_names_the_store(as_default):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2, 3]})
    frame.to_parquet("ds://pandas/plain.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet("ds://pandas/plain.parquet"), frame)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_pandas_writes_reads_and_appends_csv(options, compression):
    pandas = pytest.importorskip("pandas")
    url = f"ds://pandas/table-{compression}.csv"
    frame = pandas.DataFrame({"x": range(100), "y": [n / 7 for n in range(100)]})
    how = {"storage_options": options, "compression": compression}
    frame.to_csv(url, index=False, **how)
    frame.to_csv(url, index=False, header=False, mode="a", **how)
    found = pandas.read_csv(url, **how)
    pandas.testing.assert_frame_equal(found, pandas.concat([frame, frame], ignore_index=True))


def test_pyarrow_writes_and_scans_a_partitioned_dataset(fs):
    pyarrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    table = pyarrow.table({"year": [2024, 2025] * 500, "x": list(range(1_000))})
    dataset.write_dataset(
        table, "arrow/set", format="parquet", filesystem=fs, partitioning=["year"],
    )  # fmt: skip
    found = dataset.dataset("arrow/set", filesystem=fs, partitioning=["year"])
    assert len(found.files) == 2
    assert all(is_cold(fs, name) for name in found.files)
    odd = found.to_table(filter=dataset.field("year") == 2025)
    assert sorted(odd["x"].to_pylist()) == list(range(1, 1_000, 2))


def test_pyarrow_reads_and_writes_one_parquet_file(fs):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": list(range(70_000))})
    parquet.write_table(table, "arrow/one.parquet", filesystem=fs, row_group_size=10_000)
    assert parquet.read_table("arrow/one.parquet", filesystem=fs).equals(table)
    with fs.open("arrow/one.parquet") as file:
        groups = parquet.ParquetFile(file)
        assert groups.read_row_group(3)["x"][0].as_py() == 30_000


def test_pyarrow_lists_and_moves(fs):
    pytest.importorskip("pyarrow")
    from pyarrow.fs import FileSelector, FileType, FSSpecHandler, PyFileSystem

    arrow = PyFileSystem(FSSpecHandler(fs))
    arrow.create_dir("arrow/moved/in")
    with arrow.open_output_stream("arrow/moved/a") as stream:
        stream.write(b"content")
    arrow.move("arrow/moved/a", "arrow/moved/in/b")
    found = arrow.get_file_info(FileSelector("arrow/moved", recursive=True))
    assert {info.path: info.type for info in found} == {
        "arrow/moved/in": FileType.Directory,
        "arrow/moved/in/b": FileType.File,
    }
    with arrow.open_input_file("arrow/moved/in/b") as file:
        assert file.read() == b"content"
    arrow.delete_dir("arrow/moved")
    assert arrow.get_file_info("arrow/moved").type == FileType.NotFound


def test_zarr_keeps_groups_and_arrays(fs, options):
    zarr = pytest.importorskip("zarr")
    numpy = pytest.importorskip("numpy")
    store = zarr.storage.FsspecStore.from_url("ds://zarr/tree", storage_options=options)
    root = zarr.open_group(store, mode="w", zarr_format=3)
    values = numpy.arange(60_000, dtype="int32").reshape(300, 200)
    array = root.create_array("deep/values", shape=values.shape, chunks=(50, 50), dtype="int32")
    array[:] = values
    array.attrs["unit"] = "m"
    again = zarr.open_group(
        zarr.storage.FsspecStore.from_url("ds://zarr/tree", storage_options=options), mode="r"
    )
    found = again["deep/values"]
    assert numpy.array_equal(found[:], values)
    assert numpy.array_equal(found[120:131, 7:160], values[120:131, 7:160])
    assert dict(found.attrs) == {"unit": "m"}
    assert sorted(name for name, _ in again["deep"].arrays()) == ["values"]
    assert all(is_cold(fs, name) for name in fs.find("zarr/tree/deep/values/c"))
    assert len(fs.find("zarr/tree/deep/values/c")) == 24


def test_zarr_shards_read_parts_of_objects(fs):
    zarr = pytest.importorskip("zarr")
    numpy = pytest.importorskip("numpy")
    store = zarr.storage.FsspecStore.from_mapper(fs.get_mapper("zarr/sharded"))
    values = numpy.random.default_rng(1).integers(0, 255, (256, 256)).astype("uint8")
    array = zarr.create_array(store, data=values, chunks=(32, 32), shards=(128, 128))
    assert numpy.array_equal(array[33:40, 60:200], values[33:40, 60:200])
    assert len(fs.find("zarr/sharded")) == 5


def test_zarr_opens_a_plain_url(as_default):
    zarr = pytest.importorskip("zarr")
    zarr.save("ds://zarr/plain", zarr.ones(10)[:])
    assert zarr.load("ds://zarr/plain").tolist() == [1.0] * 10


def test_torch_saves_and_loads_through_open_files(fs):
    torch = pytest.importorskip("torch")
    state = {"weight": torch.arange(100_000.0), "step": torch.tensor(7)}
    with fs.open("torch/state.pt", "wb") as file:
        torch.save(state, file)
    assert is_cold(fs, "torch/state.pt")
    with fs.open("torch/state.pt", "rb") as file:
        found = torch.load(file, weights_only=True)
    assert torch.equal(found["weight"], state["weight"])
    assert found["step"] == 7


@ALONE
@pytest.mark.filterwarnings("ignore:Detected an existing checkpoint:UserWarning")
def test_torch_checkpoints_are_written_and_read(fs, options):
    torch = pytest.importorskip("torch")
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    from torch.distributed.checkpoint import _fsspec_filesystem as ds

    state = {"layer": {"weight": torch.randn(64, 64)}, "step": 12}
    url = "ds://checkpoints/step-12"
    for _ in range(2):  # the second one replaces the first
        writer = ds.FsspecWriter(url, thread_count=2, **options)
        checkpoint.save(state, storage_writer=writer)
    loaded = {"layer": {"weight": torch.zeros(64, 64)}, "step": 0}
    checkpoint.load(loaded, storage_reader=ds.FsspecReader(url, **options))
    assert torch.equal(loaded["layer"]["weight"], state["layer"]["weight"])
    assert loaded["step"] == 12
    names = fs.find("checkpoints/step-12")
    assert "checkpoints/step-12/.metadata" in names
    assert not any(name.endswith(".tmp") for name in names)
    assert all(is_cold(fs, name) for name in names if fs.size(name))


@ALONE
def test_torch_checkpoints_need_no_more_than_a_url(as_default):
    torch = pytest.importorskip("torch")
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    state = {"weight": torch.randn(10)}
    checkpoint.save(state, checkpoint_id="ds://checkpoints/plain")
    loaded = {"weight": torch.zeros(10)}
    checkpoint.load(loaded, checkpoint_id="ds://checkpoints/plain")
    assert torch.equal(loaded["weight"], state["weight"])


def test_a_local_cache_of_fsspec_stands_before_it(fs, options, tmp_path):
    content = os.urandom(100_000)
    fs.pipe_file("cached/a", content)
    chain = {"ds": options, "simplecache": {"cache_storage": str(tmp_path)}}
    with fsspec.open("simplecache::ds://cached/a", **chain) as file:
        assert file.read() == content


def test_a_mapping_is_a_folder(fs):
    found = fs.get_mapper("mapping", create=True)
    found["a/b"] = b"1"
    found.setitems({"c": b"2", "d": b"3"})
    assert dict(found) == {"a/b": b"1", "c": b"2", "d": b"3"}
    assert found.getitems(["c", "nothing"], on_error="omit") == {"c": b"2"}

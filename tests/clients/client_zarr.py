"""zarr 3: groups, arrays, shards and consolidated metadata, over both of its ways to fsspec."""

import asyncio

import fsspec
import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import FsspecStore

values = np.arange(60_000, dtype="int32").reshape(300, 200)
root = zarr.open_group("ds://zarr/tree", mode="w")
array = root.create_array("deep/values", shape=values.shape, chunks=(50, 50), dtype="int32")
array[:] = values
array.attrs["unit"] = "m"
again = zarr.open_group("ds://zarr/tree", mode="r")["deep/values"]
assert np.array_equal(again[120:131, 7:160], values[120:131, 7:160])
assert dict(again.attrs) == {"unit": "m"}
zarr.consolidate_metadata("ds://zarr/tree")
assert sorted(dict(zarr.open_consolidated("ds://zarr/tree").groups())) == ["deep"]
sharded = zarr.create_array("ds://zarr/sharded", data=values, chunks=(10, 10), shards=(100, 100))
assert np.array_equal(sharded[33:40, 60:200], values[33:40, 60:200])
mapped = FsspecStore.from_mapper(fsspec.get_mapper("ds://zarr/mapped"))
zarr.create_array(mapped, data=values[:5], overwrite=True)
zarr.create_array(mapped, data=values[5:9], overwrite=True)
assert np.array_equal(zarr.open_array(mapped, mode="r")[:], values[5:9])


async def store_itself() -> None:
    """What a store of zarr has to do."""
    store = FsspecStore.from_url("ds://zarr/store")
    buffer = default_buffer_prototype().buffer
    await store.set("c/0", buffer.from_bytes(b"0123456789"))
    await store.set_if_not_exists("c/0", buffer.from_bytes(b"other"))
    ask = default_buffer_prototype()
    assert (await store.get("c/0", ask)).to_bytes() == b"0123456789"
    ranges = {
        zarr.abc.store.RangeByteRequest(2, 5): b"234",
        zarr.abc.store.SuffixByteRequest(3): b"789",
        zarr.abc.store.OffsetByteRequest(8): b"89",
    }
    for request, want in ranges.items():
        assert (await store.get("c/0", ask, request)).to_bytes() == want
    assert await store.get("c/1", ask) is None and await store.exists("c/0")
    assert [name async for name in store.list()] == ["c/0"]
    assert [name async for name in store.list_dir("")] == ["c"]
    assert await store.getsize("c/0") == 10 and await store.getsize_prefix("") == 10
    assert not await store.is_empty("")
    await store.delete("c/0")
    await store.delete("c/0")
    await store.set("d/1", buffer.from_bytes(b"1"))
    await store.delete_dir("d")
    assert await store.is_empty("")


asyncio.run(store_itself())
print("right")

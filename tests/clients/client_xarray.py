"""xarray: to zarr and back, appended to, and netCDF files read through open files."""

import fsspec
import numpy as np
import xarray as xr

data = xr.Dataset(
    {"t": (("time", "x"), np.random.default_rng(1).normal(size=(20, 30)))},
    coords={"time": np.arange(20), "x": np.linspace(0, 1, 30)},
    attrs={"source": "made"},
)
data.to_zarr("ds://xarray/set.zarr")
xr.testing.assert_identical(xr.open_zarr("ds://xarray/set.zarr", chunks=None).load(), data)
more = data.assign_coords(time=np.arange(20, 40))
more.to_zarr("ds://xarray/set.zarr", append_dim="time")
whole = xr.open_zarr("ds://xarray/set.zarr", chunks=None)
assert whole.sizes["time"] == 40
assert np.array_equal(whole["t"].sel(time=25), data["t"].sel(time=5))
with fsspec.open("ds://xarray/set.nc", "wb") as file:
    file.write(data.to_netcdf(engine="h5netcdf"))
with fsspec.open("ds://xarray/set.nc", "rb") as file:
    xr.testing.assert_identical(xr.open_dataset(file, engine="h5netcdf").load(), data)
print("right")

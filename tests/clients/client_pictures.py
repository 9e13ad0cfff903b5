"""pillow and imageio: pictures are written and read through open files."""

import fsspec
import imageio.v3 as iio
import numpy as np
from PIL import Image

fs = fsspec.filesystem("ds")
picture = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
for kind in ("PNG", "BMP", "WEBP", "GIF", "JPEG", "PPM"):
    with fs.open(f"pictures/one.{kind.lower()}", "wb") as file:
        Image.fromarray(picture).save(file, kind)
    with fs.open(f"pictures/one.{kind.lower()}", "rb") as file:
        found = np.asarray(Image.open(file).convert("RGB"))
    assert found.shape == picture.shape
    assert kind not in ("PNG", "BMP", "PPM") or np.array_equal(found, picture)
fs.pipe_file("pictures/two.png", iio.imwrite("<bytes>", picture, extension=".png"))
with fs.open("pictures/two.png", "rb") as file:
    assert np.array_equal(iio.imread(file, extension=".png"), picture)
print("right")

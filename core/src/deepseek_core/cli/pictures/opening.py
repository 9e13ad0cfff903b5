"""Opening files as pictures: whatever a file does to a decoder, it ends as one sentence."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from deepseek_core.cli.pictures.option_values import MOST_PIXELS
from deepseek_core.contracts.errors import ArtifactError, DeepSeekError, InputError

if TYPE_CHECKING:
    from PIL import Image

# Bitmaps that are known by their first bytes and that Pillow decodes itself; EPS, for one, would
# start another program.
_FORMATS: Final = (
    "PNG", "JPEG", "MPO", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "ICO", "QOI",
)  # fmt: skip
_BY_SUFFIX: Final = "TGA"  # any file may look like one
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF 6.0, section 15; a tile may be larger than its picture
_LONGEST_REASON: Final = 200
_SILENT: Final = logging.NullHandler()  # for errors that it logs and raises
_BOMB: Final = f"has more than {MOST_PIXELS:,} pixels and is refused as a decompression bomb"


def check_pillow() -> None:
    """See that pictures can be read at all.

    Raises:
        InputError: Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"reading pictures needs Pillow, which can't be imported: {error}",
            remedy="pip install pillow",
        ) from error


def picture_suffixes() -> frozenset[str]:
    """Suffixes of the formats that the installed Pillow reads.

    Raises:
        InputError: Pillow is not installed.
    """
    check_pillow()
    from PIL import Image

    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in known if name in (*_FORMATS, _BY_SUFFIX))


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """The picture in a file, of which only the header was read so far.

    What Pillow warns of is not printed, since it would not say of which file. Filters of warnings
    belong to the process, so other threads should not rely on theirs meanwhile.

    Raises:
        ArtifactError: the file can't be read, inside the block as well.
    """
    from PIL import Image

    logging.getLogger(Image.__package__).addHandler(_SILENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with _regular(file) as raw, Image.open(raw, formats=_formats(file)) as image:
                _check_pixels(image)
                yield image
        except DeepSeekError:
            raise
        except Exception as error:  # decoders of foreign files raise anything
            raise ArtifactError(_reason(error, file)) from error


def _formats(file: Path) -> tuple[str, ...]:
    from PIL import Image

    by_name = Image.registered_extensions().get(file.suffix.lower())
    names = _FORMATS if by_name != _BY_SUFFIX else (*_FORMATS, _BY_SUFFIX)
    return tuple(name for name in names if name in Image.OPEN)


def _regular(file: Path) -> BinaryIO:
    """The open file, if it is one: a pipe would keep us waiting, a device may never end."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ArtifactError("is empty" if stat.S_ISREG(status.st_mode) else "is not a regular file")


def _check_pixels(image: Image.Image) -> None:
    """Hold Pillow's limit, which anybody in this process may have switched off, for tiles too."""
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_LENGTH, 1)
    if max(image.width * image.height, tile) > MOST_PIXELS:
        raise ArtifactError(_BOMB)


def _reason(error: Exception, file: Path) -> str:
    """What is wrong with the file, as the rest of a sentence that begins with its name."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return _BOMB
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, FileNotFoundError) and file.is_symlink():
        return "is a link to a file that does not exist"
    if isinstance(error, UnidentifiedImageError):
        return "is damaged, or not in a format that is read"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}"
    return f"can't be decoded: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) if error.args else type(error).__name__
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= _LONGEST_REASON else shown[:_LONGEST_REASON] + "..."

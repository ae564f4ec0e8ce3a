"""Pictures: copies of at most 600 and 1,200 px under content-addressed names, without metadata.

The names depend on the original's bytes and on the version of the rules here, so a picture is worked on once.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from newsletter.errors import InputError, OutsideError
from newsletter.metadata import bare
from newsletter.model import Image

MAX_PIXELS = 50_000_000
MAX_BYTES = 50_000_000
WIDTHS = {"small": 600, "large": 1200}
_KEEP_GIF = 1_000_000  # bytes up to which an animated GIF is kept as it is
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
_TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}
_FEW_COLOURS = 256
_REMEDY = "Save it again as JPEG or PNG"


def keep(data: bytes, media: Path) -> Image:
    """Write the copies of a picture into `media` and describe them; `src` is empty.

    Raises InputError for what is not a JPEG, PNG, GIF, WebP or AVIF picture, is damaged or has more than 50 million
    pixels. Of an animation the first picture is taken, except of a small GIF.
    """
    digest = hashlib.sha256(data).hexdigest()
    known = _known(digest, media)
    return known or _make(data, digest, media)


def keep_file(path: Path, media: Path) -> Image:
    """Keep the picture in a file; raises InputError also for one that cannot be read."""
    try:
        data = read(path)
    except OSError as e:
        raise InputError(f"it cannot be read: {e.strerror}", where=str(path), remedy="Mend the path") from e
    return keep(data, media)


def read(path: Path) -> bytes:
    """Read a picture's file; raises OSError, and InputError for what is no file or too large to be looked at."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise InputError("it is not a file", where=str(path), remedy="Mend the path")
    if status.st_size > MAX_BYTES:
        raise _too_large()
    return path.read_bytes()


def _too_large() -> InputError:
    return InputError(f"the picture has more than {MAX_BYTES // 1_000_000} MB", remedy="Save a smaller one")


def _known(digest: str, media: Path) -> Image | None:
    """Describe copies that are there already, by reading no more than their headers."""
    for ending in _TYPES:
        small, large = (media / f"{digest[:24]}-{width}.{ending}" for width in WIDTHS.values())
        if not (small.exists() and large.exists()):
            continue
        try:
            with Pillow.open(large, formats=_FORMATS) as picture:
                return _describe(digest, small, large, picture.size)
        except (OSError, ValueError):
            continue  # not ours, or not whole: it is made again
    return None


def _describe(digest: str, small: Path, large: Path, size: tuple[int, int]) -> Image:
    return Image(
        src="",
        width=size[0],
        height=size[1],
        media_type=_TYPES[large.suffix[1:]],
        small=small.name,
        large=large.name,
        sha256=digest,
        size=large.stat().st_size,
    )


def _make(data: bytes, digest: str, media: Path) -> Image:
    picture, animated = _open(data)
    if animated and len(data) <= _KEEP_GIF:
        copies, ending = dict.fromkeys(WIDTHS, bare(data)), "gif"
        size = picture.size
    else:
        try:
            picture = _plain(picture)
            ending = "png" if _wants_png(picture) else "jpg"
            resized = {name: _fit(picture, width) for name, width in WIDTHS.items()}
            copies = {name: _encode(copy, ending) for name, copy in resized.items()}
        except (OSError, ValueError, SyntaxError, MemoryError, Pillow.DecompressionBombError) as e:
            raise InputError(f"the picture is damaged: {e}", remedy=_REMEDY) from e
        size = resized["large"].size
    paths = {name: media / f"{digest[:24]}-{width}.{ending}" for name, width in WIDTHS.items()}
    try:
        media.mkdir(parents=True, exist_ok=True)
        for name in WIDTHS:
            _write(paths[name], copies[name])
    except OSError as e:
        raise OutsideError(f"a picture cannot be written: {e.strerror}", where=str(media)) from e
    return _describe(digest, paths["small"], paths["large"], size)


def _open(data: bytes) -> tuple[Pillow.Image, bool]:
    """Open a picture and read all of it, its size checked before it is decoded."""
    if len(data) > MAX_BYTES:
        raise _too_large()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Pillow.open(io.BytesIO(data), formats=_FORMATS)
            _check_pixels(picture)
            animated = picture.format == "GIF" and bool(getattr(picture, "is_animated", False))
            picture.seek(0)
            picture.load()
    except InputError:
        raise
    except Pillow.DecompressionBombError as e:
        raise InputError(
            f"the picture has more than {MAX_PIXELS:,} pixels", remedy="Save a smaller one"
        ) from e
    except UnidentifiedImageError as e:
        raise InputError("this is not a JPEG, PNG, GIF, WebP or AVIF picture", remedy=_REMEDY) from e
    except Exception as e:  # decoders raise what they like on damaged bytes
        raise InputError(f"the picture is damaged: {e}", remedy=_REMEDY) from e
    return picture, animated


def _check_pixels(picture: Pillow.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"the picture has {width:,} × {height:,} pixels, more than {MAX_PIXELS:,} in all",
            remedy="Save a smaller one",
        )


def _plain(picture: Pillow.Image) -> Pillow.Image:
    """Return the pixels upright in sRGB, with nothing attached."""
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    elif upright.mode.startswith("I") or upright.mode == "F":
        upright = (
            upright.point(lambda value: value / 256).convert("L")
            if upright.mode != "F"
            else upright.convert("L")
        )
    if profile:
        upright = _to_srgb(upright, profile)
    if upright.mode not in ("RGB", "RGBA", "L"):
        upright = upright.convert("RGB")
    if upright.mode == "RGBA" and upright.getchannel("A").getextrema() == (255, 255):
        upright = upright.convert("RGB")
    return Pillow.frombytes(upright.mode, upright.size, upright.tobytes())


def _to_srgb(picture: Pillow.Image, profile: bytes) -> Pillow.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = "RGBA" if picture.mode == "RGBA" else "RGB"
        found = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=target)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture  # a broken profile costs exact colours, not the picture
    return found or picture


def _wants_png(picture: Pillow.Image) -> bool:
    return picture.mode == "RGBA" or picture.getcolors(_FEW_COLOURS) is not None


def _fit(picture: Pillow.Image, width: int) -> Pillow.Image:
    """Make it at most `width` pixels wide; never larger."""
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Pillow.Resampling.LANCZOS)


def _encode(picture: Pillow.Image, ending: str) -> bytes:
    out = io.BytesIO()
    if ending == "png":
        picture = _with_palette(picture)
    options: dict[str, Any] = {"optimize": True}
    if ending == "jpg":
        options |= {"quality": 85, "progressive": True}
    picture.save(out, "JPEG" if ending == "jpg" else "PNG", **options)
    return out.getvalue()


def _with_palette(picture: Pillow.Image) -> Pillow.Image:
    """Use a palette where it loses nothing: half the bytes for logos and charts."""
    if picture.mode == "L" or picture.getcolors(_FEW_COLOURS) is None:
        return picture
    method = Pillow.Quantize.FASTOCTREE if picture.mode == "RGBA" else Pillow.Quantize.MEDIANCUT
    fewer = picture.quantize(_FEW_COLOURS, method=method, dither=Pillow.Dither.NONE)
    return fewer if fewer.convert(picture.mode).tobytes() == picture.tobytes() else picture


def _write(path: Path, data: bytes) -> None:
    """Write whole or not at all; two processes at once write the same bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""Metadata are cut away, the pixels stay bit by bit, and any damage is survived."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms, PngImagePlugin

from newsletter.metadata import bare

SECRETS = (b"A camera", b"A secret", b"adobe:ns:meta", b"Photoshop")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>A secret</x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 1) -> Pillow.Exif:
    made = Pillow.Exif()
    made[0x010F] = "A camera"
    made[0x0112] = orientation
    made.get_ifd(0x8825)[2] = (50.0, 51.0, 0.0)
    return made


def photo(mode: str = "RGB") -> Pillow.Image:
    gradient = Pillow.linear_gradient("L").resize((64, 48))
    other = Pillow.radial_gradient("L").resize((64, 48))
    return Pillow.merge("RGB", (gradient, other, gradient.transpose(Pillow.Transpose.ROTATE_180))).convert(
        mode
    )


def saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def text_chunk() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "A secret")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def iptc(data: bytes) -> bytes:
    """Put a Photoshop segment behind the first marker."""
    told = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x08A secret"
    return data[:2] + b"\xff\xed" + (len(told) + 2).to_bytes(2, "big") + told + data[2:]


MARKED = {
    "jpeg": saved(photo(), "JPEG", exif=exif(), xmp=XMP, comment=b"A secret", icc_profile=PROFILE),
    "progressive": saved(photo(), "JPEG", exif=exif(), xmp=XMP, progressive=True, restart_marker_blocks=1),
    "cmyk": saved(photo("CMYK"), "JPEG", exif=exif()),
    "iptc": iptc(saved(photo(), "JPEG", exif=exif())),
    "png": saved(photo(), "PNG", exif=exif(), pnginfo=text_chunk(), icc_profile=PROFILE, dpi=(72, 72)),
    "apng": saved(photo(), "PNG", exif=exif(), save_all=True, append_images=[photo().rotate(90)]),
    "gif": saved(photo("P"), "GIF", comment=b"A secret"),
    "animation": saved(
        photo("P"), "GIF", comment=b"A secret", save_all=True, append_images=[photo("L").convert("P")], loop=3
    ),
    "webp": saved(photo(), "WEBP", exif=exif(), xmp=XMP, icc_profile=PROFILE),
    "lossless": saved(photo("RGBA"), "WEBP", exif=exif(), xmp=XMP, lossless=True),
}


def frames(data: bytes) -> list[bytes]:
    with Pillow.open(io.BytesIO(data)) as picture:
        found = []
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(picture.convert("RGBA").tobytes())
        return found


@pytest.mark.parametrize("kind", MARKED)
def test_metadata_go_and_pixels_stay(kind: str) -> None:
    data = MARKED[kind]
    assert any(secret in data for secret in SECRETS)
    cut = bare(data)
    assert len(cut) < len(data)
    assert not any(secret in cut for secret in SECRETS)
    assert frames(cut) == frames(data)
    with Pillow.open(io.BytesIO(cut)) as picture, Pillow.open(io.BytesIO(data)) as before:
        assert not picture.getexif()
        for name in ("icc_profile", "loop", "duration"):
            assert picture.info.get(name) == before.info.get(name)
    assert bare(cut) == cut


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stays_upright(orientation: int) -> None:
    data = saved(photo(), "JPEG", exif=exif(orientation))
    cut = bare(data)
    with Pillow.open(io.BytesIO(cut)) as picture:
        assert dict(picture.getexif()) == ({} if orientation == 1 else {0x0112: orientation})
    assert not any(secret in cut for secret in SECRETS)
    assert bare(cut) == cut


def test_what_is_hidden_behind_a_picture_goes() -> None:
    for kind in ("jpeg", "png", "gif", "webp"):
        assert bare(MARKED[kind] + MARKED["jpeg"]) == bare(MARKED[kind])


def test_what_is_no_picture_comes_back_as_it_is() -> None:
    for data in (
        b"",
        b"<svg/>",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF1234WAVE",
        MARKED["jpeg"][:300],
    ):
        assert bare(data) == data


@settings(max_examples=300)
@given(
    kind=st.sampled_from(sorted(MARKED)),
    place=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    length=st.integers(0, 10_000),
)
def test_any_damage_is_survived(kind: str, place: int, byte: int, length: int) -> None:
    data = bytearray(MARKED[kind])
    data[place % len(data)] = byte
    cut = bytes(data[: len(data) - length % 50])
    assert len(bare(cut)) <= len(cut) + 40

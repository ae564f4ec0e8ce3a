"""Pictures: copies of two widths, upright, without metadata, the same bytes each time; bombs are refused."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms

from newsletter import pictures
from newsletter.errors import InputError
from newsletter.model import Image
from newsletter.sources.folder import Folder


def photo(width: int = 1600, height: int = 900, mode: str = "RGB") -> Pillow.Image:
    """Draw something with many colours."""
    gradient = Pillow.linear_gradient("L").resize((width, height))
    other = Pillow.radial_gradient("L").resize((width, height))
    return Pillow.merge("RGB", (gradient, other, gradient.transpose(Pillow.Transpose.ROTATE_180))).convert(
        mode
    )


def encoded(picture: Pillow.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def opened(media: Path, name: str) -> Pillow.Image:
    with Pillow.open(media / name) as picture:
        picture.load()
        return picture


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """Write a PNG that claims any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def test_a_photo_has_two_copies(tmp_path: Path) -> None:
    image = pictures.keep(encoded(photo()), tmp_path / "media")
    assert (image.width, image.height, image.media_type, image.src) == (1200, 675, "image/jpeg", "")
    assert image.large == f"{image.sha256[:24]}-1200.jpg"
    assert image.small == f"{image.sha256[:24]}-600.jpg"
    assert opened(tmp_path / "media", image.large).size == (1200, 675)
    assert opened(tmp_path / "media", image.small).size == (600, 338)
    assert image.size == (tmp_path / "media" / image.large).stat().st_size
    assert opened(tmp_path / "media", image.large).info.get("progressive")


def test_it_is_never_enlarged(tmp_path: Path) -> None:
    image = pictures.keep(encoded(photo(200, 100)), tmp_path)
    assert (image.width, image.height) == (200, 100)
    assert opened(tmp_path, image.small).size == opened(tmp_path, image.large).size == (200, 100)


@pytest.mark.parametrize(
    ("picture", "kind", "media_type"),
    [
        (photo(300, 200), "JPEG", "image/jpeg"),
        (photo(300, 200), "PNG", "image/jpeg"),
        (photo(300, 200), "WEBP", "image/jpeg"),
        (photo(300, 200), "AVIF", "image/jpeg"),
        (photo(300, 200, "RGBA"), "AVIF", "image/jpeg"),
        (photo(300, 200, "L"), "WEBP", "image/png"),
        (photo(300, 200, "CMYK"), "JPEG", "image/jpeg"),
        (photo(300, 200, "L"), "JPEG", "image/png"),
        (photo(300, 200, "P"), "PNG", "image/png"),
        (photo(300, 200, "P"), "GIF", "image/png"),
        (photo(300, 200, "1"), "PNG", "image/png"),
        (Pillow.new("I;16", (30, 20), 40_000), "PNG", "image/png"),
        (Pillow.new("RGBA", (30, 20), (1, 2, 3, 100)), "PNG", "image/png"),
        (Pillow.new("LA", (30, 20), (1, 100)), "PNG", "image/png"),
        (Pillow.new("RGB", (30, 20), "red"), "PNG", "image/png"),
    ],
)
def test_every_kind_is_read(picture: Pillow.Image, kind: str, media_type: str, tmp_path: Path) -> None:
    image = pictures.keep(encoded(picture, kind), tmp_path)
    assert image.media_type == media_type
    assert (image.width, image.height) == picture.size
    opened(tmp_path, image.small)


def test_transparency_stays(tmp_path: Path) -> None:
    picture = photo(700, 400, "RGBA")
    picture.putalpha(Pillow.linear_gradient("L").resize(picture.size))
    image = pictures.keep(encoded(picture, "PNG"), tmp_path)
    assert opened(tmp_path, image.small).convert("RGBA").getchannel("A").getpixel((0, 0)) == 0


def test_it_stands_upright_and_tells_nothing(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[2] = (50.0, 51.0, 0.0)  # GPS
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photo(800, 400), exif=exif, icc_profile=profile, comment=b"A secret")
    image = pictures.keep(data, tmp_path)
    assert (image.width, image.height) == (400, 800)
    for name in (image.small, image.large):
        picture = opened(tmp_path, name)
        assert not picture.getexif()
        assert set(picture.info) <= {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "progressive",
            "progression",
        }
        assert b"camera" not in (tmp_path / name).read_bytes()
        assert b"secret" not in (tmp_path / name).read_bytes()


def test_other_colour_spaces_become_srgb(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    image = pictures.keep(encoded(photo(100, 50), icc_profile=lab), tmp_path)
    assert "icc_profile" not in opened(tmp_path, image.large).info
    broken = pictures.keep(encoded(photo(100, 50), icc_profile=b"nonsense"), tmp_path)
    assert (broken.width, broken.height) == (100, 50)


def test_the_same_bytes_each_time_and_no_second_work(tmp_path: Path) -> None:
    data = encoded(photo())
    first, second = pictures.keep(data, tmp_path / "a"), pictures.keep(data, tmp_path / "b")
    assert first == second
    for name in (first.small, first.large):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert pictures.keep(data, tmp_path / "a") == first
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before
    assert set(before) == {first.small, first.large}


def test_a_lost_or_damaged_copy_is_made_again(tmp_path: Path) -> None:
    data = encoded(photo())
    image = pictures.keep(data, tmp_path)
    (tmp_path / image.small).unlink()
    (tmp_path / image.large).write_bytes(b"")
    assert pictures.keep(data, tmp_path) == image
    assert opened(tmp_path, image.small).width == 600


def test_few_colours_stay_exact(tmp_path: Path) -> None:
    picture = photo(400, 160, "P")
    image = pictures.keep(encoded(picture, "PNG"), tmp_path)
    assert opened(tmp_path, image.large).convert("RGB").tobytes() == picture.convert("RGB").tobytes()


def test_a_small_animation_is_kept_and_a_large_one_is_its_first_picture(tmp_path: Path) -> None:
    frames = [photo(320, 200, "P"), photo(320, 200, "L").convert("P")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0)
    image = pictures.keep(data, tmp_path)
    assert image.media_type == "image/gif"
    assert (tmp_path / image.large).read_bytes() == data
    assert pictures.keep(data, tmp_path) == image
    noise = [Pillow.effect_noise((900, 900), 100 + n).convert("P") for n in range(3)]
    data = encoded(noise[0], "GIF", save_all=True, append_images=noise[1:], loop=0)
    assert len(data) > 1_000_000
    assert pictures.keep(data, tmp_path).media_type == "image/png"


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "AVIF"])
def test_of_other_animations_the_first_picture_is_taken(kind: str, tmp_path: Path) -> None:
    first, second = photo(320, 200), photo(320, 200).transpose(Pillow.Transpose.ROTATE_180)
    data = encoded(first, kind, save_all=True, append_images=[second])
    image = pictures.keep(data, tmp_path)
    assert (image.width, image.height, image.media_type) == (320, 200, "image/jpeg")
    assert not getattr(opened(tmp_path, image.large), "is_animated", False)


def test_an_animation_tells_nothing(tmp_path: Path) -> None:
    frames = [photo(320, 200, "P"), photo(320, 200, "L").convert("P")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0, comment=b"A secret")
    assert b"A secret" in data
    image = pictures.keep(data, tmp_path)
    assert b"A secret" not in (tmp_path / image.large).read_bytes()
    assert opened(tmp_path, image.large).info["loop"] == 0


def test_only_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # nobody writes into it: reading would wait for ever
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(60_000_000_000)  # takes no room
    for name, said in (
        ("pipe.jpg", "not a file"),
        ("huge.jpg", "more than 50 MB"),
        ("none.jpg", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            pictures.keep_file(tmp_path / name, tmp_path / "media")
    with pytest.raises(InputError):
        pictures.keep_file(tmp_path, tmp_path / "media")


NAMES = st.lists(
    st.sampled_from(
        [
            "..",
            ".",
            "",
            "a",
            "inside",
            "link",
            "x.png",
            "%2e%2e",
            "..%2f",
            "\\",
            "C:",
            "~",
            "\0",
            "é",
            "\ud800",
        ]
    ),
    min_size=1,
    max_size=8,
).map("/".join)


@settings(max_examples=300)
@given(name=st.one_of(NAMES, st.text(max_size=40)))
def test_no_name_leads_out_of_the_folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp() / "traversal"
    root = base / "posts"
    if not root.exists():
        (root / "inside").mkdir(parents=True)
        (base / "x.png").write_bytes(encoded(photo(20, 10), "PNG"))
        (root / "link").symlink_to(base)
    folder = Folder(root, "https://own.test/", base / "media")
    try:
        path = folder.picture_path("inside/post.md", name)
    except InputError:
        return
    assert path.is_relative_to(root.resolve())
    try:
        kept = folder.picture("inside/post.md", Image(src=name))
    except (InputError, ValueError):
        return
    assert not kept.large  # the only picture lies outside: what is named here stays on the web


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        encoded(photo(300, 200))[:3000],
        encoded(photo(300, 200), "PNG")[:2000],
        encoded(photo(300, 200, "P"), "GIF")[:900],
        encoded(photo(300, 200), "WEBP")[:500],
        encoded(photo(300, 200), "BMP"),
        encoded(photo(300, 200), "TIFF"),
        png_of(60_000, 60_000),
        png_of(8_000, 8_000),
        png_of(100, 100),
        png_of(0, 5),
        b"GIF89a" + b"\xff" * 100,
    ],
    ids=["empty", "text", "svg", "jpeg cut", "png cut", "gif cut", "webp cut", "bmp", "tiff", "bomb", "64 MP",
         "no data",
         "no width", "gif nonsense"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_with_a_remedy(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pictures.keep(data, tmp_path)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


WHOLE = {kind: encoded(photo(60, 40), kind) for kind in ("JPEG", "PNG", "WEBP")}


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(WHOLE)), place=st.integers(0, 5000), byte=st.integers(0, 255))
def test_any_damage_is_survived(
    kind: str, place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(WHOLE[kind])
    data[place % len(data)] = byte
    media = tmp_path_factory.mktemp("media")
    try:
        image: Image | None = pictures.keep(bytes(data), media)
    except InputError:
        image = None
    assert len(list(media.iterdir())) == (2 if image else 0)

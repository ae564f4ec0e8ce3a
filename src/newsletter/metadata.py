"""Pictures without what is attached to them: place, camera, author, comments. Their pixels stay as they are.

JPEG (ITU-T T.81 annex B), PNG (ISO/IEC 15948), GIF89a and WebP (RFC 9649) are cut at their own seams. Colour profiles
stay, and so does a JPEG's orientation.
"""

from __future__ import annotations

import re
import struct

_JPEG_KEPT = frozenset({0xE0, 0xEE})  # JFIF and Adobe: how the colours are to be read
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD pHYs hIST acTL fcTL fdAT".split()
)
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EXIF_SHORT = 3


def bare(data: bytes) -> bytes:
    """Return a picture without its metadata; what is of another kind, or cannot be read, comes back as it is."""
    for begin, cut in (
        (b"\xff\xd8\xff", _jpeg),
        (b"\x89PNG\r\n\x1a\n", _png),
        (b"GIF8", _gif),
        (b"RIFF", _webp),
    ):
        if data.startswith(begin):
            try:
                return cut(data)
            except (struct.error, IndexError, ValueError):
                return data
    return data


def _jpeg(data: bytes) -> bytes:
    parts, place = [data[:2]], 2
    while True:
        while data[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        if data[place] != 0xFF:
            raise ValueError("no marker")
        marker = data[place + 1]
        if marker == 0xD9:
            return b"".join([*parts, b"\xff\xd9"])  # what follows is another picture, or hidden
        end = place + 2 + int(struct.unpack_from(">H", data, place + 2)[0])
        segment = data[place:end]
        if marker == 0xE1:
            parts += [_turned(segment)] if segment[4:10] == b"Exif\0\0" else []
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE) or _is_kept(marker, segment):
            parts.append(segment)
        if marker == 0xDA:
            found = _IN_SCAN.search(data, end)
            if found is None:
                raise ValueError("no end")
            parts.append(data[end : found.start()])
            end = found.start()
        place = end


def _is_kept(marker: int, segment: bytes) -> bool:
    return marker in _JPEG_KEPT or (marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0")


def _turned(segment: bytes) -> bytes:
    """Return an Exif segment that tells the orientation and nothing else, empty for one that is upright."""
    tiff = segment[10:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "")
    if not order:
        return b""
    try:
        first = int(struct.unpack_from(f"{order}I", tiff, 4)[0])
        count = int(struct.unpack_from(f"{order}H", tiff, first)[0])
        entries = [struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * n) for n in range(count)]
    except struct.error:
        return b""
    turned = next((value for tag, kind, _, value in entries if (tag, kind) == (0x0112, _EXIF_SHORT)), 1)
    if not 1 < turned <= 8:
        return b""
    told = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, _EXIF_SHORT, 1, turned, 0, 0)
    return struct.pack(">HH", 0xFFE1, len(told) + 2) + told


def _png(data: bytes) -> bytes:
    parts, place, kind = [data[:8]], 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError("no end")
        if kind in _PNG_KEPT:
            parts.append(data[place:end])
        place = end
    return b"".join(parts)


def _gif(data: bytes) -> bytes:
    place = 13 + _colours(data[10])
    parts = [data[:place]]
    while data[place] != 0x3B:
        begin, kind = place, data[place]
        if kind == 0x21:  # an extension: graphic control and the number of loops are kept
            label = data[place + 1]
            place = _blocks(data, place + 2)
            loops = data[begin + 3 : begin + 14] in (b"NETSCAPE2.0", b"ANIMEXTS1.0")
            if label == 0xF9 or (label == 0xFF and loops):
                parts.append(data[begin:place])
        elif kind == 0x2C:
            place = _blocks(data, place + 11 + _colours(data[place + 9]))
            parts.append(data[begin:place])
        else:
            raise ValueError("no block")
    return b"".join([*parts, b"\x3b"])


def _colours(flags: int) -> int:
    """Return the bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, place: int) -> int:
    """Return where a row of sub-blocks ends."""
    while data[place]:
        place += 1 + data[place]
    return place + 1


def _webp(data: bytes) -> bytes:
    if data[8:12] != b"WEBP":
        return data
    parts, place = [], 12
    end = min(len(data), 8 + int(struct.unpack_from("<I", data, 4)[0]))
    while place < end:
        kind, length = struct.unpack_from("<4sI", data, place)
        after = place + 8 + length + length % 2
        chunk = data[place:after]
        if kind == b"VP8X":  # it says what follows: no Exif, no XMP
            chunk = chunk[:8] + bytes([chunk[8] & ~0x0C]) + chunk[9:]
        if kind not in (b"EXIF", b"XMP "):
            parts.append(chunk)
        place = after
    body = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body

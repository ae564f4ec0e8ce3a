"""Draw the example publication's pictures again: `python posts/pictures/generate.py [NAME ...]`.

Needs Pillow alone. Every number is fixed or comes from a seeded generator, so the same Pillow draws the same
pictures. Scenes are measured in final pixels and drawn at twice that size, for smooth edges.
One long file of drawings on purpose: it is run by hand and nothing imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import cos, hypot, pi, sin, tau
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageFont

Point = tuple[float, float]
Stops = Sequence[tuple[float, str]]

HERE = Path(__file__).parent
WIDTH, HEIGHT, SCALE = 1200, 675, 2
INK, NIGHT, SLATE, TEAL, MIST = "#14213d", "#0d1730", "#33415c", "#2a7f86", "#dbe7ea"
SAND, AMBER, CORAL, WINE = "#f3e3c3", "#f2a65a", "#d9604c", "#7a2e4a"


def mix(first: str, second: str, share: float) -> str:
    """Give the colour that lies `share` (0 to 1) of the way from the first to the second."""
    pairs = zip(ImageColor.getrgb(first)[:3], ImageColor.getrgb(second)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def along(stops: Stops, share: float) -> str:
    """Give the colour of a gradient at `share`."""
    for (low, first), (high, second) in pairwise(stops):
        if share <= high:
            return mix(first, second, max(0.0, share - low) / (high - low))
    return stops[-1][1]


def ridge(seed: int, base: float, rise: float, span: float = 300) -> list[Point]:
    """Give the outline of a hill range, closed along the lower edge."""
    waves = Random(seed)
    parts = [(rise / 2**n, tau * 2**n / span / 2, waves.uniform(0, tau)) for n in range(6)]
    tops = [
        (float(x), base - sum(a * sin(f * x + p) for a, f, p in parts)) for x in range(-10, WIDTH + 11, 5)
    ]
    return [*tops, (WIDTH + 10, HEIGHT + 10), (-10, HEIGHT + 10)]


class Canvas:
    """A picture in the making."""

    def __init__(self, stops: Stops, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.width, self.height = width, height
        self.image = self.gradient(stops, 0, height)
        self.pen = ImageDraw.Draw(self.image, "RGBA")

    def gradient(self, stops: Stops, top: float, bottom: float) -> Image.Image:
        column = Image.new("RGB", (1, self.height * SCALE))
        for y in range(column.height):
            share = (y / SCALE - top) / (bottom - top)
            column.putpixel((0, y), ImageColor.getrgb(along(stops, min(1.0, max(0.0, share))))[:3])
        return column.resize((self.width * SCALE, self.height * SCALE))

    def shape(self, points: Iterable[Point], colour: str) -> None:
        self.pen.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour)

    def rect(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        right, lower = max(x, x + width - 1 / SCALE), max(y, y + height - 1 / SCALE)
        box = (x * SCALE, y * SCALE, right * SCALE, lower * SCALE)
        self.pen.rounded_rectangle(box, radius * SCALE, fill=colour)

    def line(self, points: Iterable[Point], colour: str, width: float) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self.pen.line(scaled, fill=colour, width=max(1, round(width * SCALE)), joint="curve")

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        box = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self.pen.ellipse(box, fill=colour)

    def mask(self, paint: Callable[[ImageDraw.ImageDraw], object], blur: float = 0) -> Image.Image:
        mask = Image.new("L", self.image.size)
        paint(ImageDraw.Draw(mask))
        return mask.filter(ImageFilter.GaussianBlur(blur * SCALE)) if blur else mask

    def area(self, points: Iterable[Point]) -> Image.Image:
        """Give a mask of a shape."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        return self.mask(lambda pen: pen.polygon(scaled, fill=255))

    def shade(self, points: Iterable[Point], stops: Stops, top: float, bottom: float) -> None:
        """Fill a shape with a vertical gradient between two heights."""
        self.image.paste(self.gradient(stops, top, bottom), (0, 0), self.area(points))

    def cloud(self, x: float, y: float, width: float, height: float, colour: str, strength: float) -> None:
        box = [x * SCALE, y * SCALE, (x + width) * SCALE, (y + height) * SCALE]
        mask = self.mask(lambda pen: pen.ellipse(box, fill=round(255 * strength)), height / 2.5)
        self.image.paste(colour, (0, 0), mask)

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float) -> None:
        size = round(2 * radius * SCALE)
        light = ImageChops.invert(Image.radial_gradient("L")).resize((size, size))
        light = light.point([round(255 * strength * (max(0, v - 75) / 180) ** 2) for v in range(256)])
        self.image.paste(colour, (round((x - radius) * SCALE), round((y - radius) * SCALE)), light)

    def veil(self, top: float, bottom: float, colour: str, strength: float) -> None:
        """Lay mist over a band; it is thickest in the middle."""
        column = Image.new("L", (1, self.height * SCALE))
        for y in range(round(top * SCALE), min(round(bottom * SCALE), column.height)):
            column.putpixel((0, y), round(255 * strength * sin(pi * (y / SCALE - top) / (bottom - top)) ** 2))
        self.image.paste(colour, (0, 0), column.resize(self.image.size))

    def mirror(self, level: float, colour: str, strength: float, wave: float = 3, blur: float = 0) -> None:
        """Fill everything below a level with the rippled reflection of what stands above it."""
        level_px, depth = round(level * SCALE), round((self.height - level) * SCALE)
        above = self.image.crop((0, max(0, level_px - depth), self.image.width, level_px))
        water = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((self.image.width, depth))
        rippled = water.copy()
        for y in range(depth):
            drift = (
                (y / depth) ** 0.6
                * wave
                * SCALE
                * (sin(y / 8.3) + 0.5 * sin(y / 4.1 + 1) + 1.6 * sin(y / 21))
            )
            rippled.paste(water.crop((0, y, water.width, y + 1)), (round(drift), y))
        rippled = rippled.filter(ImageFilter.GaussianBlur((blur * SCALE / 4, blur * SCALE)))
        tone = Image.new("RGB", rippled.size, colour)
        self.image.paste(Image.blend(rippled, tone, strength), (0, level_px))

    def save(self, name: str) -> None:
        picture = self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        if name.endswith(".png"):
            picture.quantize(200, dither=Image.Dither.NONE).save(HERE / name, optimize=True)
            return
        noise = Image.frombytes("L", picture.size, Random(1).randbytes(self.width * self.height))
        grain = noise.point([v // 64 for v in range(256)]).convert("RGB")
        grained = ImageChops.add(picture, grain, offset=-2)
        for quality, subsampling in ((84, 0), (84, 2), (76, 2)):
            grained.save(HERE / name, quality=quality, optimize=True, subsampling=subsampling)
            if (HERE / name).stat().st_size <= 147_000:
                break


def crane(c: Canvas, x: float, base: float, size: float, colour: str, raised: bool = False) -> None:
    """Draw a ship-to-shore gantry crane whose boom points left."""

    def at(dx: float, dy: float) -> Point:
        return x + dx * size, base - dy * size

    beam = max(1.2, 5 * size)
    for leg in (0, 62):
        c.line([at(leg, 0), at(leg, 150)], colour, beam)
    c.line([at(0, 52), at(62, 52)], colour, beam * 0.8)
    c.line([at(0, 52), at(62, 138)], colour, beam * 0.5)
    c.line([at(-8, 150), at(120, 150)], colour, beam * 1.3)
    tip = at(-95, 268) if raised else at(-165, 150)
    c.line([at(0, 150), tip], colour, beam * 1.1)
    c.line([at(2, 150), at(24, 235), at(62, 150)], colour, beam * 0.8)
    c.line([at(24, 235), at(115, 152)], colour, beam * 0.4)
    for share in (0.55, 0.97):
        c.line(
            [at(24, 235), at(share * (tip[0] - x) / size, 150 + share * ((base - tip[1]) / size - 150))],
            colour,
            beam * 0.35,
        )
    c.shape([at(66, 150), at(104, 150), at(104, 174), at(66, 174)], colour)
    if not raised:
        c.line([at(-88, 150), at(-88, 96)], colour, beam * 0.25)
        c.shape([at(-104, 96), at(-72, 96), at(-72, 84), at(-104, 84)], colour)


def ship(c: Canvas, x: float, level: float, size: float, colour: str) -> None:
    """Draw a laden container ship from the side."""
    c.shape(
        [
            (x, level - 34 * size),
            (x + 430 * size, level - 34 * size),
            (x + 452 * size, level - 46 * size),
            (x + 425 * size, level),
            (x + 12 * size, level),
        ],
        colour,
    )
    for bay in range(11):
        tall = (3, 4, 4, 5, 5, 4, 5, 5, 4, 3, 2)[bay] * 11 * size
        c.rect(x + (68 + 31 * bay) * size, level - 34 * size - tall, 29 * size, tall, colour)
    c.rect(x + 18 * size, level - 110 * size, 40 * size, 80 * size, colour)
    c.rect(x + 8 * size, level - 114 * size, 60 * size, 9 * size, colour)
    c.rect(x + 26 * size, level - 132 * size, 14 * size, 22 * size, colour)


def harbour_dusk() -> Canvas:
    c = Canvas(
        [
            (0, "#1d2450"),
            (0.28, "#57386e"),
            (0.45, "#b64f6c"),
            (0.58, "#ef8a5b"),
            (0.68, "#fcd58f"),
            (1, SAND),
        ]
    )
    for x, y, width, height in (
        (-80, 110, 620, 22),
        (640, 70, 700, 26),
        (260, 205, 520, 16),
        (820, 250, 460, 14),
    ):
        c.cloud(x, y, width, height, "#f7a072", 0.5)
    c.glow(470, 425, 520, "#ffe3a3", 0.8)
    c.disc(470, 418, 44, "#fff3cf")
    c.shape(ridge(4, 436, 9, 420), "#a4576f")
    for x in (60, 135, 205, 1120, 1180):
        crane(c, x, 455, 0.42, "#83486c")
    c.rect(0, 452, WIDTH, 10, "#6b3d65")
    ship(c, 330, 460, 0.72, "#452f5a")
    for x, raised in ((640, True), (800, False), (985, False)):
        crane(c, x, 458, 1.32, "#241f45", raised)
    c.rect(560, 455, 700, 12, "#241f45")
    for n, tall in enumerate((2, 3, 1)):
        c.rect(880 + 34 * n, 456 - 15 * tall, 32, 15 * tall, "#352b5c")
    c.mirror(466, "#2a2a58", 0.36)
    for n in range(26):
        c.rect(470 - 60 + 41 * sin(n * 2.4) - n, 472 + n * 7.4, 70 + 50 * sin(n), 1.6, "#ffe9b8a0", 1)
    c.shape([(0, 600), (250, 622), (330, 675), (0, 675)], "#151633")
    for x, y in ((70, 596), (190, 610)):
        c.rect(x, y - 30, 26, 38, "#151633", 5)
        c.rect(x - 7, y - 34, 40, 13, "#151633", 6)
    return c


def column(c: Canvas, x: float, top: float, bottom: float, width: float) -> None:
    """Draw a fluted column, lit from the left."""
    for n in range(24):
        light = 0.5 + 0.5 * cos(pi * (n / 23 - 0.28) * 1.25)
        flute = 0.06 if n % 3 == 0 else 0
        c.rect(
            x + width * n / 24, top, width / 24 + 0.5, bottom - top, mix("#8d7f86", "#fff4dc", light - flute)
        )
    c.rect(x - 8, top - 12, width + 16, 14, "#f2e2c4", 2)
    c.rect(x - 8, bottom - 12, width + 16, 14, "#d9c6ae", 2)


def courthouse() -> Canvas:
    c = Canvas([(0, "#4f86a8"), (0.45, "#a9cdd6"), (0.85, "#fbe6c6"), (1, SAND)])
    for x, y, width in ((-60, 90, 420), (760, 60, 520), (420, 150, 300)):
        c.cloud(x, y, width, 34, "#ffffff", 0.75)
    c.shape(ridge(9, 455, 16, 260), "#8fb0ad")
    for x, side in ((70, 0), (895, 1)):
        c.rect(x, 270, 240, 270, "#d9c7ad" if side else "#e8d7ba")
        c.rect(x - 8, 258, 256, 16, "#c7b298")
        c.rect(x - 8, 540, 256, 94, "#a9998a")
        c.rect(x - 8, 540, 256, 10, "#cdbba2")
        for row in range(2):
            for n in range(4):
                c.rect(x + 22 + 54 * n, 300 + 118 * row, 34, 78, "#4c5f73", 3)
                c.rect(x + 26 + 54 * n, 304 + 118 * row, 11, 70, "#86a4b4", 2)
    c.rect(300, 262, 600, 290, "#6d6470")
    for n in range(3):
        c.rect(467 + 105 * n, 355, 59, 190, "#2c2f42", 4)
        c.rect(472 + 105 * n, 361, 23, 180, "#3d4258", 3)
    for n in range(6):
        column(c, 316 + 105 * n, 272, 545, 46)
    c.rect(284, 222, 632, 40, "#efdfc2")
    c.rect(284, 254, 632, 8, "#cdb99d")
    for n in range(39):
        c.rect(294 + 16 * n, 242, 8, 10, "#c9b599")
    c.shape([(268, 222), (600, 98), (932, 222)], "#d8c4a6")
    c.shape([(318, 212), (600, 112), (882, 212)], "#f4e6cb")
    c.line([(600, 134), (600, 205)], "#9c8a78", 5)
    c.line([(536, 152), (664, 152)], "#9c8a78", 4)
    for x in (540, 660):
        c.line([(x - 20, 184), (x, 154), (x + 20, 184)], "#9c8a78", 2)
        c.pen.pieslice([(x - 24) * 2, 168 * 2, (x + 24) * 2, 200 * 2], 0, 180, fill="#9c8a78")
    for n in range(7):
        c.rect(268 - 22 * n, 545 + 13 * n, 664 + 44 * n, 14, mix("#f6e9d0", "#b7a48f", n / 9))
        c.rect(268 - 22 * n, 555 + 13 * n, 664 + 44 * n, 4, "#8d7d7350")
    c.shade(
        [(0, 634), (WIDTH, 634), (WIDTH, HEIGHT), (0, HEIGHT)], [(0, "#b9aa95"), (1, "#8b8076")], 634, 675
    )
    shadow = c.mask(lambda pen: pen.polygon([(0, 1150), (500, 1350), (0, 1350)], fill=110), 6)
    c.image.paste(INK, (0, 0), shadow)
    for x, size in ((28, 1.2), (1165, 1.35), (1085, 0.8)):
        c.rect(x - 5 * size, 560, 10 * size, 75, "#4d4038")
        for n in range(40):
            angle, reach = n * 2.4, 62 * size * (n / 40) ** 0.5
            tone = mix("#2f5d50", "#7fa36b", 0.5 - 0.45 * sin(angle + 0.6))
            c.disc(x + reach * cos(angle), 510 + 1.2 * reach * sin(angle), 17 * size, tone)
    return c


def rail_yard() -> Canvas:
    c = Canvas([(0, "#2f4a6b"), (0.22, "#7d8fa6"), (0.38, "#f0b98b"), (0.46, "#ffe2b4"), (1, "#ffe2b4")])
    c.glow(700, 300, 420, "#fff1cf", 0.9)
    c.shape(ridge(12, 296, 10, 380), "#94909c")
    for n in range(26):
        c.rect(46 * n - 10, 300 - 12 * abs(sin(n * 1.9)) - 14 * (n % 4 == 0), 40, 60, "#7b7c8c")
    c.shade(
        [(0, 312), (WIDTH, 312), (WIDTH, HEIGHT), (0, HEIGHT)],
        [(0, "#b09a8c"), (0.3, "#6f6a70"), (1, "#2e3442")],
        312,
        675,
    )
    eye = (640, 306)
    for foot in range(-700, 2000, 230):
        for n in range(1, 46):
            depth = (n / 46) ** 2.2
            y, half = eye[1] + 375 * depth, 92 * depth
            x = eye[0] + (foot - eye[0]) * depth
            c.rect(x - half, y, 2 * half, 11 * depth + 0.4, "#4a4148b0")
        for side in (-52, 52):
            end = foot + side
            c.shape([eye, (end - 6, 681), (end + 6, 681)], "#f5d3a6" if foot < 900 else "#c9b3a4")
    for foot, colours, far in (
        (1040, (CORAL, TEAL, AMBER, SLATE, WINE, TEAL), 0.12),
        (-110, (TEAL, SLATE, CORAL, AMBER, SLATE, WINE), 0.1),
    ):
        wagons(c, eye, foot, colours, far)
    for depth in (0.06, 0.13, 0.27, 0.6):
        gantry(c, eye, depth)
    c.veil(250, 400, "#ffe6c2", 0.55)
    for x, y, colour in ((560, 380, "#ff5d4a"), (866, 420, "#5fe0a0")):
        c.line([(x, y), (x, y + 70)], "#20222e", 4)
        c.rect(x - 8, y - 22, 16, 34, "#20222e", 6)
        c.glow(x, y - 10, 46, colour, 0.8)
        c.disc(x, y - 10, 5, "#fff6e8")
    return c


def wagons(c: Canvas, eye: Point, foot: float, colours: Sequence[str], far: float) -> None:
    """Draw a train of containers that stands on the track ending at `foot`, farthest wagon first."""
    steps = [far * (1.0 / far * 1.25) ** (n / len(colours)) for n in range(len(colours) + 1)]
    inner, outer = foot + (-62 if foot > eye[0] else 62), foot + (62 if foot > eye[0] else -62)

    def at(x: float, height: float, depth: float) -> Point:
        return eye[0] + (x - eye[0]) * depth, eye[1] + (375 - height) * depth

    for colour, start, end in zip(colours, steps[:-1], steps[1:], strict=True):
        near = start + (end - start) * 0.94
        c.shape(
            [at(inner, 28, start), at(inner, 28, near), at(inner, 8, near), at(inner, 8, start)], "#22242e"
        )
        dull = mix(mix(colour, INK, 0.25), "#ffe2b4", max(0, 0.45 - start))
        c.shape(
            [at(inner, 190, start), at(inner, 190, near), at(inner, 28, near), at(inner, 28, start)], dull
        )
        for n in range(1, 14):
            rib = start + (near - start) * n / 14
            c.line([at(inner, 186, rib), at(inner, 34, rib)], mix(dull, INK, 0.22), 3.2 * rib)
        c.shape(
            [at(inner, 190, near), at(outer, 190, near), at(outer, 28, near), at(inner, 28, near)],
            mix(dull, INK, 0.35),
        )


def gantry(c: Canvas, eye: Point, depth: float) -> None:
    """Draw the portal that carries the overhead line."""
    tone = mix("#c9a78f", "#1d2230", min(1.0, depth * 2.2))
    left, right = eye[0] - 760 * depth, eye[0] + 700 * depth
    foot, top = eye[1] + 375 * depth, eye[1] - 330 * depth
    for x in (left, right):
        c.line([(x, foot), (x, top)], tone, 15 * depth + 0.6)
    for drop in (0, 34):
        c.line([(left, top + drop * depth), (right, top + drop * depth)], tone, 6 * depth + 0.5)
    for n in range(24):
        x, step = left + (right - left) * n / 24, (right - left) / 24
        c.line(
            [(x, top + 34 * depth * (n % 2)), (x + step, top + 34 * depth * ((n + 1) % 2))], tone, 4 * depth
        )
    for x in (-500, -270, -40, 190, 420):
        c.line([(eye[0] + x * depth, top), (eye[0] + x * depth, top + 92 * depth)], tone, 5 * depth + 0.3)


def turbine(c: Canvas, x: float, base: float, size: float, turn: float, colour: str) -> None:
    """Draw a wind turbine whose rotor is turned by a share of a third of a circle."""
    hub = base - 190 * size
    c.shape(
        [(x - 4.2 * size, base), (x - 2 * size, hub), (x + 2 * size, hub), (x + 4.2 * size, base)], colour
    )
    c.rect(x - 8 * size, base - 14 * size, 16 * size, 16 * size, mix(colour, AMBER, 0.75))
    for blade in range(3):
        angle = tau * (blade + turn) / 3
        ax, ay = sin(angle), -cos(angle)
        c.shape(
            [
                (x - 2.4 * size * ay, hub + 2.4 * size * ax),
                (x + (28 * ax - 5 * ay) * size, hub + (28 * ay + 5 * ax) * size),
                (x + 112 * ax * size, hub + 112 * ay * size),
                (x + 2.4 * size * ay, hub - 2.4 * size * ax),
            ],
            colour,
        )
    c.disc(x, hub, 5.2 * size, colour)


def wind_farm() -> Canvas:
    c = Canvas([(0, "#5aa0b8"), (0.4, "#b9dcd9"), (0.62, "#fdf0d2"), (1, "#fdf0d2")])
    c.glow(240, 250, 460, "#fffbe6", 0.9)
    c.disc(240, 250, 40, "#fffdf2")
    for x, y, width in ((360, 120, 520), (760, 190, 480), (-160, 330, 420), (820, 60, 300)):
        c.cloud(x, y, width, 30, "#ffffff", 0.7)
    c.shape(
        [(820, 424), (900, 380), (960, 396), (1040, 338), (1100, 372), (1160, 350), (1210, 388), (1210, 430)],
        "#a3c3c8",
    )
    c.shape(
        [(700, 426), (790, 404), (860, 412), (960, 386), (1080, 408), (1210, 392), (1210, 430)], "#86afb7"
    )
    sea = [(0, "#9cc7c9"), (0.25, "#4f96a3"), (1, "#133f58")]
    c.shade([(0, 420), (WIDTH, 420), (WIDTH, HEIGHT), (0, HEIGHT)], sea, 420, 675)
    for n in range(9):
        turbine(c, 350 + 72 * n, 424 + n % 2, 0.36, n * 0.37, "#e4eeee")
    for n, x in enumerate((120, 330, 590, 900)):
        turbine(c, x, 452, 0.74, n * 0.29 + 0.2, "#f1f6f3")
    chance = Random(21)
    for _ in range(420):
        y = 424 + 250 * chance.random() ** 1.7
        near = (y - 420) / 255
        bright = chance.random() < 0.5
        c.rect(
            chance.uniform(-40, WIDTH),
            y,
            20 + 90 * near * chance.random(),
            0.8 + 2 * near,
            f"#f6fbf2{round(40 + 60 * chance.random()):02x}" if bright else "#0c334b40",
            1,
        )
    for n in range(34):
        y = 426 + 7 * n
        c.rect(240 - 26 - n + 24 * sin(n * 2.2), y, 52 + 2 * n + 20 * sin(n * 1.3), 2, "#fff6d8a0", 1)
    turbine(c, 1010, 560, 2.1, 0.62, "#f8faf6")
    turbine(c, 480, 520, 1.36, 0.1, "#f5f9f5")
    c.shape([(700, 520), (812, 520), (826, 508), (806, 536), (712, 536)], "#b3402f")
    c.rect(716, 494, 44, 27, "#fbf7ec", 3)
    c.rect(722, 499, 32, 8, "#32586b", 2)
    c.line([(738, 494), (738, 470)], "#fbf7ec", 2.4)
    c.line([(700, 537), (650, 541), (590, 540)], "#ffffffb0", 2)
    return c


def blob(seed: int, x: float, y: float, radius: float, stretch: float = 1.0) -> list[Point]:
    """Give a coast-like closed outline."""
    chance = Random(seed)
    parts = [(0.34 / n, n, chance.uniform(0, tau)) for n in range(2, 16)]
    outline = []
    for step in range(360):
        angle = tau * step / 360
        reach = radius * (1 + sum(a * sin(n * angle + p) for a, n, p in parts) * 0.8)
        outline.append((x + stretch * reach * cos(angle), y + reach * sin(angle)))
    return outline


def curve(a: Point, bend: Point, b: Point) -> list[Point]:
    """Give the points of a quadratic Bézier curve."""
    weights = [((1 - n / 60) ** 2, 2 * (n / 60) * (1 - n / 60), (n / 60) ** 2) for n in range(61)]
    return [(u * a[0] + v * bend[0] + w * b[0], u * a[1] + v * bend[1] + w * b[1]) for u, v, w in weights]


def shipping_lanes() -> Canvas:
    c = Canvas([(0, "#0f2b44"), (1, "#113d52")])
    c.glow(600, 330, 800, "#2a7f86", 0.55)
    for n in range(1, 16):
        c.line([(80 * n, 0), (80 * n, HEIGHT)], "#ffffff12", 1)
    for n in range(1, 9):
        c.line([(0, 80 * n), (WIDTH, 80 * n)], "#ffffff12", 1)
    lands = (
        (3, 120, 40, 165, 1.5),
        (8, 640, -20, 105, 2.0),
        (14, 170, 530, 120, 1.1),
        (23, 1010, 590, 92, 1.5),
        (31, 1010, 70, 125, 1.5),
        (5, 700, 300, 40, 0.9),
        (41, 965, 395, 24, 1.8),
        (7, 585, 560, 30, 1.3),
    )
    for grow, drop, tone in (
        (26, 0, "#ffffff0c"),
        (13, 0, "#ffffff10"),
        (0, 5, "#061a2a90"),
        (0, 0, "#e6d8b5"),
    ):
        for seed, x, y, radius, stretch in lands:
            c.shape(blob(seed, x + drop * 0.6, y + drop, radius + grow, stretch), tone)
    ports: dict[str, Point] = {
        "north": (428, 112),
        "strait": (520, 262),
        "gulf": (790, 168),
        "cape": (400, 628),
        "east": (1108, 262),
        "isles": (800, 425),
        "south": (800, 610),
        "far": (1165, 470),
    }
    lanes = (
        ("north", (430, 210), "strait", 7),
        ("strait", (640, 190), "gulf", 4),
        ("strait", (600, 400), "isles", 8),
        ("isles", (770, 520), "south", 6),
        ("isles", (890, 280), "east", 5),
        ("strait", (420, 440), "cape", 3),
        ("cape", (560, 690), "south", 3),
        ("isles", (1000, 490), "far", 3),
    )
    for start, bend, end, width in lanes:
        path = curve(ports[start], bend, ports[end])
        c.line(path, "#3d6a68", width * 2.2)
        for n in range(0, 60, 2):
            c.line(path[n : n + 2], mix(AMBER, "#ffe9c4", n / 60), width * 0.55)
    for port_x, port_y in ports.values():
        c.glow(port_x, port_y, 42, "#ffd79a", 0.7)
        c.disc(port_x, port_y, 9, "#0f2b44")
        c.disc(port_x, port_y, 6.5, CORAL)
        c.disc(port_x, port_y, 2.6, "#fff6e4")
    for n in range(32):
        angle, reach = tau * n / 32, 44 if n % 8 == 0 else 30 if n % 4 == 0 else 20
        c.line(
            [
                (1110 + 12 * cos(angle), 90 + 12 * sin(angle)),
                (1110 + reach * cos(angle), 90 + reach * sin(angle)),
            ],
            "#14213d90",
            2 if n % 4 == 0 else 1,
        )
    return c


def box(c: Canvas, x: float, y: float, colour: str, chance: Random) -> None:
    """Draw one container in oblique view, its lower left corner at (x, y)."""
    width, height, dx, dy = 218.0, 88.0, 34.0, -20.0
    c.shape(
        [
            (x, y - height),
            (x + dx, y - height + dy),
            (x + width + dx, y - height + dy),
            (x + width, y - height),
        ],
        mix(colour, "#fff1d6", 0.42),
    )
    c.shape(
        [
            (x + width, y),
            (x + width + dx, y + dy),
            (x + width + dx, y - height + dy),
            (x + width, y - height),
        ],
        mix(colour, NIGHT, 0.5),
    )
    c.rect(x, y - height, width, height, colour)
    for n in range(26):
        c.rect(x + 9 + 7.8 * n, y - height + 9, 3.6, height - 18, mix(colour, NIGHT, 0.2))
        c.rect(x + 12.6 + 7.8 * n, y - height + 9, 1.4, height - 18, mix(colour, "#ffffff", 0.2))
    for edge in (y - height, y - 7):
        c.rect(x, edge, width, 7, mix(colour, NIGHT, 0.28))
    for edge in (x, x + width - 8):
        c.rect(edge, y - height, 8, height, mix(colour, NIGHT, 0.14))
    if chance.random() < 0.55:
        c.rect(x + 24, y - height + 24, 60, 26, mix(colour, "#fffaf0", 0.85), 2)
        c.rect(x + 30, y - height + 31, 34, 4, colour)
        c.rect(x + 30, y - height + 39, 46, 4, colour)
    for n in (0, 1):
        c.line(
            [
                (x + width + dx * (0.36 + 0.3 * n), y - 8 - 7 * n - 4),
                (x + width + dx * (0.36 + 0.3 * n), y - height - 7 * n + 4),
            ],
            mix(colour, "#ffffff", 0.15),
            1.6,
        )


def containers() -> Canvas:
    c = Canvas([(0, "#6fb1bf"), (0.5, "#cfe5df"), (0.9, SAND), (1, SAND)])
    for x, y, width in ((80, 60, 420), (620, 110, 520)):
        c.cloud(x, y, width, 40, "#ffffff", 0.8)
    crane(c, 660, 560, 2.05, "#8fb6ba")
    c.shade(
        [(0, 596), (WIDTH, 596), (WIDTH, HEIGHT), (0, HEIGHT)], [(0, "#8d8a86"), (1, "#5b5d63")], 596, 675
    )
    palette, chance = (
        ("#c9543f", "#2a7f86", "#e39b4b", "#35507a", "#8a3a4f", "#5f8f6b", "#d8c49a"),
        Random(17),
    )
    for depth, (base, shift, tall) in enumerate(
        ((598, -150, (4, 5, 5, 3, 4, 5)), (634, -60, (3, 4, 2, 1, 3, 4)))
    ):
        last = ""
        for stack, count in enumerate(tall):
            for level in range(count):
                colour = chance.choice([p for p in palette if p != last])
                last = colour
                tone = mix(colour, "#cfe0dc", 0.3) if depth == 0 else colour
                box(c, shift + 230 * stack, base - 89 * level, tone, chance)
    for x in range(-40, WIDTH, 120):
        c.shape([(x, 656), (x + 70, 656), (x + 62, 663), (x - 8, 663)], "#f3cf7acc")
    return c


def hemicycle() -> Canvas:
    c = Canvas([(0, "#16203c"), (1, "#0c1428")])
    c.glow(600, 600, 720, "#35507a", 0.6)
    groups = (
        (0.09, WINE),
        (0.29, CORAL),
        (0.37, "#6f9f63"),
        (0.55, "#e9c46a"),
        (0.83, "#3f7fae"),
        (0.93, "#2c4f7c"),
        (1, "#78839a"),
    )
    absent = Random(5)
    for row in range(11):
        reach = 200 + 37 * row
        seats = round(pi * reach / 34)
        for n in range(seats):
            share = (n + 0.5) / seats
            angle = pi * (1 - share)
            colour = next(tone for limit, tone in groups if share <= limit)
            x, y = 600 + reach * cos(angle), 606 - reach * 0.93 * sin(angle)
            if absent.random() < 0.07:
                c.disc(x, y, 10, mix(colour, "#0f1830", 0.62))
                c.disc(x, y, 7.6, "#101a33")
                continue
            c.disc(x + 1, y + 3, 11.5, "#060b1890")
            c.disc(x, y, 11.5, colour)
            c.disc(x - 2.6, y - 3, 4.2, mix(colour, "#ffffff", 0.32))
    c.rect(516, 622, 168, 8, "#8a7350", 3)
    c.shape([(534, 572), (666, 572), (650, 624), (550, 624)], "#d8c49a")
    c.shape([(600, 572), (666, 572), (650, 624), (600, 624)], "#c4ae84")
    c.rect(522, 562, 156, 12, "#f3e3c3", 4)
    for x in (572, 628):
        c.line([(x, 564), (x + (600 - x) * 0.35, 536)], "#aab4c4", 2.4)
        c.disc(x + (600 - x) * 0.35, 533, 4.5, "#aab4c4")
    c.line([(120, 644), (1080, 644)], "#d8c49a60", 1.4)
    return c


def vineyards() -> Canvas:
    c = Canvas([(0, "#4c6f9c"), (0.25, "#c58f9a"), (0.42, "#f8b87c"), (0.52, "#ffe6b0"), (1, "#ffe6b0")])
    for x, y, width in ((-120, 120, 560), (560, 80, 480), (700, 190, 560)):
        c.cloud(x, y, width, 24, "#ffdcb4", 0.7)
    c.glow(860, 300, 470, "#fff4c8", 0.9)
    c.disc(860, 296, 42, "#fffbe4")
    for seed, base, rise, tone in (
        (2, 316, 30, "#b98f96"),
        (6, 344, 24, "#9c8283"),
        (15, 372, 20, "#7d7a6c"),
    ):
        c.shape(ridge(seed, base, rise, 460), tone)
    fields = (
        (33, 408, 24, 520, "#a3a05a", "#5f7444", (1300, 250), 16),
        (58, 470, 34, 700, "#93974d", "#42643f", (-250, 300), 24),
        (71, 545, 30, 600, "#b39a4c", "#3f5b37", (640, 330), 34),
    )
    for index, (seed, base, rise, span, ground, vine, eye, gap) in enumerate(fields):
        outline = ridge(seed, base, rise, span)
        before = c.image.copy()
        c.shade(
            outline,
            [(0, mix(ground, "#ffdf9b", 0.35)), (1, mix(ground, INK, 0.25))],
            base - rise * 1.6,
            base + 150,
        )
        for n in range(-60, 100):
            foot = eye[0] + n * gap * 3.4
            c.shape([eye, (foot - gap * 0.72, 720), (foot + gap * 0.72, 720)], vine)
            c.shape([eye, (foot + gap * 0.36, 720), (foot + gap * 0.72, 720)], mix(vine, "#e7cf78", 0.45))
        c.image.paste(before, (0, 0), ImageChops.invert(c.area(outline)))
        if index == 0:
            house(c, 300, 404)
        for n in range(5 if index == 1 else 0):
            x = 880 + 46 * n + 9 * (n % 2)
            cypress(c, x, outline[(x + 10) // 5][1] + 8, 96 - 8 * n)
    c.veil(330, 470, "#ffe2a8", 0.28)
    return c


def house(c: Canvas, x: float, base: float) -> None:
    """Draw a farmhouse with a tower."""
    c.rect(x, base - 46, 120, 60, "#f0d9b2")
    c.shape([(x - 10, base - 46), (x + 130, base - 46), (x + 112, base - 72), (x + 8, base - 72)], "#a3503f")
    c.rect(x + 120, base - 84, 38, 100, "#e3c79c")
    c.shape([(x + 114, base - 84), (x + 164, base - 84), (x + 139, base - 108)], "#8f4338")
    for n in range(4):
        c.rect(x + 14 + 28 * n, base - 32, 11, 18, "#6b5a58", 2)
    c.rect(x + 134, base - 68, 9, 16, "#6b5a58", 4)
    for n in range(3):
        cypress(c, x - 22 - 24 * n, base + 12, 70 - 12 * n)


def cypress(c: Canvas, x: float, base: float, height: float) -> None:
    rises = [n / 20 for n in range(21)]
    half = [(height * 0.1 * (1 - u) ** 0.8 * min(1.0, 0.5 + 3 * u), base - height * u) for u in rises]
    shape = [(x - w, y) for w, y in half] + [(x + w, y) for w, y in reversed(half)]
    c.rect(x - 2, base - 3, 4, 10, "#3a3a34")
    c.shape(shape, "#2f4a3c")
    c.shape([(px if px > x else x, py) for px, py in shape], "#4a6848")


def border_night() -> Canvas:
    c = Canvas([(0, "#0a1330"), (0.45, "#1c315c"), (0.68, "#4b5c86"), (1, "#4b5c86")])
    chance = Random(8)
    for _ in range(170):
        size = 0.5 + 1.1 * chance.random() ** 3
        c.disc(
            chance.uniform(0, WIDTH),
            300 * chance.random(),
            size,
            f"#fff6e0{round(90 + 160 * chance.random()):02x}",
        )
    c.glow(230, 120, 190, "#e8ecff", 0.55)
    moon = c.mask(lambda pen: pen.ellipse([392, 172, 528, 308], fill=255))
    moon = ImageChops.subtract(moon, c.mask(lambda pen: pen.ellipse([430, 160, 550, 280], fill=255)))
    c.image.paste("#f4f1e2", (0, 0), moon)
    for seed, base, rise, tone in (
        (3, 360, 100, "#33456f"),
        (18, 420, 70, "#243459"),
        (27, 462, 40, "#182544"),
    ):
        c.shape(ridge(seed, base, rise, 330), tone)
    c.shade(
        [(0, 500), (WIDTH, 500), (WIDTH, HEIGHT), (0, HEIGHT)], [(0, "#39405c"), (1, "#161b30")], 500, 675
    )
    c.glow(860, 470, 430, "#ffd08a", 0.75)
    for x in (690, 840, 990, 1130):
        c.rect(x, 392, 12, 130, "#1a2036")
    c.shape([(640, 392), (1210, 392), (1210, 350), (662, 350)], "#232b47")
    c.rect(640, 388, 570, 8, "#ffdf9e")
    for n, tone in enumerate(("#6fe0a6", "#ff6a55", "#6fe0a6", "#ff6a55")):
        c.rect(730 + 130 * n, 362, 54, 16, "#11172b", 4)
        c.glow(757 + 130 * n, 370, 40, tone, 0.6)
        c.rect(742 + 130 * n, 367, 30, 6, tone, 3)
    for x in (760, 910, 1060):
        c.rect(x, 436, 46, 84, "#2b3350", 3)
        c.rect(x + 6, 446, 34, 30, "#ffe5ab", 2)
        c.disc(x + 23, 464, 6, "#3a3550")
        c.rect(x + 14, 470, 18, 7, "#3a3550", 3)
    c.line([(806, 498), (902, 470)], "#f4efe2", 5)
    for n in range(4):
        c.line([(812 + 24 * n, 496 - 7 * n), (822 + 24 * n, 493 - 7 * n)], "#d9604c", 5)
    for n, (x, tone) in enumerate(((-120, "#35507a"), (110, "#7d3646"), (340, "#2c6b70"), (560, "#8a6a3c"))):
        lorry(c, x, 566 - 9 * n, 1.0 - 0.07 * n, tone)
    for n in range(14):
        c.shape([(90 * n, 632), (90 * n + 48, 632), (90 * n + 42, 637), (90 * n - 6, 637)], "#c9c3ac60")
    return c


def lorry(c: Canvas, x: float, base: float, size: float, tone: str) -> None:
    """Draw a lorry that waits, seen from the side and pointing right."""

    def part(dx: float, dy: float, width: float, height: float, colour: str, radius: float = 3) -> None:
        c.rect(x + dx * size, base - dy * size, width * size, height * size, colour, radius)

    c.glow(x - 2 * size, base - 8 * size, 60 * size, "#ff4f3d", 0.7)
    c.glow(x + 226 * size, base - 12 * size, 76 * size, "#ffe9b0", 0.6)
    part(0, 96, 160, 84, tone)
    part(0, 96, 160, 12, mix(tone, "#ffffff", 0.2))
    for n in range(9):
        part(14 + 16 * n, 80, 2, 64, mix(tone, NIGHT, 0.3), 0)
    part(164, 76, 54, 66, mix(tone, "#ffffff", 0.12), 9)
    part(186, 68, 30, 24, "#a9c4d6", 4)
    part(0, 14, 218, 10, "#0e1426", 2)
    part(-3, 26, 6, 12, "#ff5e4a", 2)
    part(213, 26, 8, 10, "#fff3cf", 3)
    for dx in (24, 54, 84, 186):
        c.disc(x + dx * size, base, 14 * size, "#0b1020")
        c.disc(x + dx * size, base, 6 * size, "#76809a")


def wafer() -> Canvas:
    c = Canvas([(0, "#10182c"), (1, "#1d2b47")])
    c.glow(640, 330, 700, "#3a6f8f", 0.55)
    disc = Canvas([(0, "#c8d6de"), (0.5, "#8fa5b5"), (1, "#53657c")])
    tones = [
        (0, "#f3c27a"),
        (0.2, "#e07f6a"),
        (0.4, "#9a5a92"),
        (0.6, "#4b68b0"),
        (0.8, "#41a6b0"),
        (1, "#bfe0c0"),
    ]
    for row in range(-16, 17):
        for col in range(-16, 17):
            x, y = 600 + 37 * col + 18, 338 + 27 * row
            if hypot(abs(x - 616) + 17, abs(y - 348) + 12) > 290:
                continue
            share = (0.5 + 0.5 * sin((x * 0.6 + y) / 150 + 0.7 * sin(x / 110))) * 0.96
            tone = mix(along(tones, share), "#ffffff", 0.22 * (0.5 + 0.5 * cos((x - y) / 60)))
            disc.rect(x - 33, y - 24, 34, 24, tone, 2)
            disc.rect(x - 30, y - 21, 13, 8, mix(tone, NIGHT, 0.22), 1)
            disc.rect(x - 14, y - 21, 12, 17, mix(tone, NIGHT, 0.14), 1)
            disc.rect(x - 30, y - 11, 13, 7, mix(tone, "#ffffff", 0.28), 1)
    disc.glow(470, 180, 330, "#ffffff", 0.5)
    c.cloud(330, 560, 620, 90, "#050912", 0.8)
    round_mask = c.mask(lambda pen: pen.ellipse([600, 72, 1800, 1272], fill=255))
    round_mask = ImageChops.subtract(round_mask, c.area([(575, 645), (625, 645), (600, 619)]))
    c.disc(600, 340, 304, "#dbe7ea")
    c.image.paste(disc.image, (0, 0), round_mask)
    for side in (-1, 1):
        c.shape(
            [
                (600 + side * 340, 300),
                (600 + side * 640, 282),
                (600 + side * 640, 394),
                (600 + side * 340, 374),
            ],
            "#2f3d58",
        )
        c.shape(
            [
                (600 + side * 286, 322),
                (600 + side * 345, 304),
                (600 + side * 345, 370),
                (600 + side * 286, 352),
            ],
            "#c7d2da",
        )
        c.rect(600 + side * 420 - 6, 292, 12, 96, "#f2a65a", 2)
    return c


def quarter_night() -> Canvas:
    c = Canvas([(0, "#101c44"), (0.35, "#2b3f79"), (0.56, "#8a6a92"), (0.68, "#f0a67e"), (1, "#f0a67e")])
    c.cloud(120, 130, 700, 26, "#6a6aa6", 0.6)
    c.cloud(640, 210, 620, 22, "#c98d94", 0.5)
    for seed, tone, low, high, width in ((4, "#53548a", 120, 210, 66), (11, "#34376a", 150, 300, 96)):
        chance, x = Random(seed), -20.0
        while x < WIDTH:
            wide, tall = width * chance.uniform(0.7, 1.4), chance.uniform(low, high)
            block(c, (x, 478 - tall, wide, tall), tone, chance, 11 if seed == 4 else 15)
            x += wide + chance.choice((0, 3, 9))
    for x, wide, tall, tone in (
        (70, 170, 330, "#1b2148"),
        (470, 250, 240, "#1e2650"),
        (930, 190, 370, "#191f44"),
    ):
        block(c, (x, 478 - tall, wide, tall), tone, Random(round(x)), 20)
    c.rect(0, 470, WIDTH, 14, "#141a3a")
    for n in range(9):
        x = 60 + 140 * n
        c.line([(x, 478), (x, 404)], "#0d1230", 3)
        c.glow(x, 402, 52, "#ffd48a", 0.75)
        c.disc(x, 402, 5, "#fff3d0")
    c.line([(392, 436), (414, 420), (392, 408), (440, 408)], "#0d1230", 2)
    c.line([(0, 406), (WIDTH, 406)], "#0d123080", 1.4)
    c.rect(250, 434, 330, 42, "#c9b04f", 9)
    c.rect(250, 464, 330, 8, "#5d5440")
    for n in range(9):
        c.rect(262 + 35 * n, 443, 28, 17, "#fff0c4", 2)
    c.mirror(484, "#151c40", 0.3, 1.2, 5)
    for n in (0, 1):
        c.shape(
            [(0, 560 + 42 * n), (WIDTH, 520 + 26 * n), (WIDTH, 522 + 26 * n), (0, 564 + 42 * n)], "#e8c9a080"
        )
    return c


def block(c: Canvas, area: tuple[float, float, float, float], tone: str, chance: Random, grid: float) -> None:
    """Draw an office block with some windows lit."""
    x, y, width, height = area
    c.rect(x, y, width, height, tone)
    c.rect(x, y, width * 0.5, height, mix(tone, "#ffffff", 0.05))
    c.rect(x + width * 0.2, y - grid * 0.6, width * 0.35, grid * 0.7, tone)
    for row in range(int((height - grid) / grid)):
        lit = chance.random() < 0.4
        for col in range(int((width - grid * 0.5) / grid)):
            warm = chance.random() < (0.75 if lit else 0.16)
            glass = mix("#ffd98c", "#fff3cf", chance.random()) if warm else mix(tone, "#86a0d0", 0.2)
            c.rect(x + grid * (0.45 + col), y + grid * (0.5 + row), grid * 0.62, grid * 0.5, glass, 1)


def text(c: Canvas, x: float, y: float, words: str, size: float, colour: str, **how: str | float) -> None:
    bold = how.get("bold", 0)
    c.pen.text(
        (x * SCALE, y * SCALE),
        words,
        fill=colour,
        font=ImageFont.load_default(size * SCALE),
        anchor=str(how.get("anchor", "ls")),
        stroke_width=float(bold) * SCALE,
        stroke_fill=colour,
    )


def duty_chart() -> Canvas:
    c = Canvas([(0, "#fbf6ea"), (1, "#f5ecd8")])
    text(c, 70, 84, "Certificates of origin refused on first presentation", 33, INK, bold=0.6)
    text(c, 70, 122, "Share of consignments from outside the customs area, per cent", 22, "#5a6478")
    for n in range(5):
        y = 560 - 95 * n
        c.line([(120, y), (1130, y)], "#14213d2a" if n else "#14213d", 1.2)
        text(c, 104, y + 8, str(2 * n), 22, "#5a6478", anchor="rs")
    series = (
        ("Wine", 2.1, 1.7),
        ("Dairy", 3.4, 3.9),
        ("Machinery", 4.6, 5.8),
        ("Textiles", 6.9, 6.2),
        ("Batteries", 3.0, 7.4),
    )
    for n, (label, before, after) in enumerate(series):
        x = 158 + 196 * n
        for shift, value, first, last in ((0, before, "#9fb4c0", "#7f98a8"), (70, after, "#e58a5c", CORAL)):
            top = 560 - 47.5 * value
            c.shade(
                [(x + shift, top), (x + shift + 62, top), (x + shift + 62, 560), (x + shift, 560)],
                [(0, first), (1, last)],
                top,
                560,
            )
            text(c, x + shift + 31, top - 10, f"{value}", 23, INK, anchor="ms", bold=0.3)
        text(c, x + 66, 596, label, 24, INK, anchor="ms")
    for x, tone, label in ((790, "#8fa6b4", "first half 2025"), (970, CORAL, "first half 2026")):
        c.rect(x, 626, 20, 20, tone, 3)
        text(c, x + 28, 644, label, 20, "#5a6478")
    text(c, 70, 644, "European Office for Customs Coordination", 18, "#5a6478")
    return c


def logo(ground: str) -> Canvas:
    return Canvas([(0, ground), (1, ground)], 400, 160)


def logo_eocc() -> Canvas:
    c = logo("#ffffff")
    for n in range(12):
        angle = tau * n / 12
        c.disc(80 + 50 * cos(angle), 80 + 50 * sin(angle), 5, AMBER if n % 3 else CORAL)
    c.shape([(50, 66), (80, 50), (110, 66), (110, 98), (80, 114), (50, 98)], INK)
    c.line([(50, 66), (80, 82), (110, 66)], "#ffffff", 3)
    c.line([(80, 82), (80, 114)], "#ffffff", 3)
    text(c, 156, 84, "EOCC", 56, INK, bold=1.2)
    text(c, 158, 108, "European Office for", 19, "#4a5568")
    text(c, 158, 130, "Customs Coordination", 19, "#4a5568")
    return c


def logo_meridian() -> Canvas:
    c = logo("#103c4f")
    c.disc(80, 80, 52, "#1c6073")
    for half in (18, 36, 52):
        c.pen.arc([(80 - half) * 2, 56, (80 + half) * 2, 264], 0, 360, fill="#f3e3c3", width=4)
    c.line([(80, 28), (80, 132)], AMBER, 5)
    for n in range(3):
        c.line([(28 + x, 92 + 12 * n + 4 * sin(x / 9 + n)) for x in range(0, 105, 2)], "#f3e3c3", 3)
    text(c, 156, 82, "MERIDIAN", 37, "#f8f1df", bold=0.7)
    text(c, 158, 113, "PORT AUTHORITY", 23, AMBER)
    return c


def logo_jocj() -> Canvas:
    c = logo("#f7f3ea")
    c.shape([(32, 34), (128, 34), (128, 88), (80, 134), (32, 88)], WINE)
    c.shape([(80, 34), (128, 34), (128, 88), (80, 134)], mix(WINE, NIGHT, 0.3))
    c.line([(80, 50), (80, 108)], "#f7f3ea", 5)
    c.line([(52, 62), (108, 62)], "#f7f3ea", 4)
    for x in (54, 106):
        c.pen.pieslice([(x - 15) * 2, 142, (x + 15) * 2, 202], 0, 180, fill="#f7f3ea")
    text(c, 156, 74, "JOCJ", 48, WINE, bold=1.1)
    text(c, 158, 104, "Joint Office for", 21, "#5b4a52")
    text(c, 158, 128, "Cross-border Justice", 21, "#5b4a52")
    return c


def logo_hokushin() -> Canvas:
    c = logo("#ffffff")
    c.rect(32, 32, 96, 96, "#20304f", 14)
    points = [(80 + r * sin(tau * n / 8), 80 - r * cos(tau * n / 8)) for n, r in enumerate((44, 13) * 4)]
    c.shape(points, "#f6fafc")
    c.disc(80, 80, 7, CORAL)
    text(c, 152, 82, "HOKUSHIN", 38, "#20304f", bold=0.8)
    text(c, 154, 112, "SEMICONDUCTOR", 23, "#5b6b84")
    return c


PICTURES: dict[str, Callable[[], Canvas]] = {
    "harbour-dusk.jpg": harbour_dusk,
    "courthouse.jpg": courthouse,
    "rail-yard.jpg": rail_yard,
    "wind-farm.jpg": wind_farm,
    "shipping-lanes.jpg": shipping_lanes,
    "containers.jpg": containers,
    "hemicycle.jpg": hemicycle,
    "vineyards.jpg": vineyards,
    "border-night.jpg": border_night,
    "wafer.jpg": wafer,
    "quarter-night.jpg": quarter_night,
    "duty-chart.png": duty_chart,
    "logo-eocc.png": logo_eocc,
    "logo-meridian.png": logo_meridian,
    "logo-jocj.png": logo_jocj,
    "logo-hokushin.png": logo_hokushin,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or PICTURES:
        PICTURES[chosen]().save(chosen)
        print(chosen, (HERE / chosen).stat().st_size)

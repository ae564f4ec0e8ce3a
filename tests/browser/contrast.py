"""The contrast of a letter's words as they are drawn: from the pixels of a screenshot, not from its styles."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypedDict

from PIL import Image

from newsletter.checks import contrast

LEAST = 4.5
#: Gives the box of each line of text that has a letter or a digit in it, in pixels of the whole page.
BOXES = r"""() => {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!/[\p{L}\p{N}]/u.test(node.data) || node.parentElement.tagName === "STYLE") continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 12) continue;  // a run of one thin sign, where directions change
      const edges = [box.left, box.top + scrollY, box.right, box.bottom + scrollY].map(Math.round);
      boxes.push({ text: node.data.trim().slice(0, 40), edges });
    }
  }
  return boxes;
}"""


class Box(TypedDict):
    """A line of text and its left, top, right and bottom edge."""

    text: str
    edges: list[int]


def poor(screenshot: bytes, boxes: Sequence[Box]) -> Iterator[str]:
    """Yield the lines whose darkest or lightest pixel stands out too little from the ground around it."""
    with Image.open(io.BytesIO(screenshot)) as opened:
        picture = opened.convert("RGB")
    for box in boxes:
        left, top, right, bottom = box["edges"]
        area = picture.crop((left, top, right, bottom))
        colours = {_digits(colour): count for count, colour in area.getcolors(area.width * area.height) or ()}
        if not colours:
            continue
        ground = max(colours, key=colours.__getitem__)
        found = max(_ratio(ground, colour) for colour in colours)
        if found < LEAST:
            yield f"{box['text']!r} has a contrast of {found:.2f}"


#: The same few hundred pairs come again in every line.
_ratio = cache(contrast.ratio)


def _digits(colour: object) -> str:
    assert isinstance(colour, tuple)
    return "".join(f"{value:02x}" for value in colour)

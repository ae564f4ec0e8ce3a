"""What a process of connections and its publisher say to each other: one asks, the other answers, frame by frame.

Frames are written by `marshal`, so they hold plain values only: both ends are the same interpreter.
"""

from __future__ import annotations

import marshal
from datetime import datetime
from typing import Any, NamedTuple

from newsletter.crew.connection import Connect, Render
from newsletter.model import Outcome, Reader, Receipt, Stage


class Setup(NamedTuple):
    """What a process is told first; `rings` are its places in the black box, by number, each a connection's."""

    render: Render
    connect: Connect
    transport: str
    reconnect: tuple[float, ...]
    rings: range
    box_size: int  # 0: there is no black box


class Asked(NamedTuple):
    """What gathered in a process since its last frame; it is to be dealt with in the order of the fields.

    `settled` are Receipts, `wants` most readers and a server each, `notes` a method of the desk with its argument.
    """

    settled: list[tuple[Any, ...]]
    quarantined: list[tuple[int, str]]
    returned: list[int]
    notes: list[tuple[str, Any]]
    intents: list[int]
    wants: list[tuple[int, str]]


class Dealt(NamedTuple):
    """What became of a wish: Readers, the seconds until somebody's turn, and whether somebody is left."""

    readers: list[tuple[Any, ...]]
    wait: float
    more: bool


class Answer(NamedTuple):
    """The answer to a frame, when its intents are durable; `dealt` are the fields of Dealts, in the order of wants."""

    claimed: frozenset[int]
    dealt: list[tuple[Any, ...]]


#: What a publisher says unasked.
STOP, CUT_CLEANLY, CUT = "stop", "cut cleanly", "cut"
#: The last note of a process that came to its end.
DONE = "done"


def pack(frame: Asked | Answer) -> bytes:
    """Write a frame."""
    plain: Any = tuple(frame)  # marshal takes no subclass
    return marshal.dumps(plain)


def unpack(data: bytes) -> tuple[Any, ...]:
    """Read the fields of a frame."""
    fields: tuple[Any, ...] = marshal.loads(data)  # noqa: S302  (of a process of ours)
    return fields


def pack_receipt(receipt: Receipt) -> tuple[Any, ...]:
    """Write a Receipt as plain values."""
    return (
        receipt.key,
        receipt.outcome._value_,
        receipt.stage._value_,
        receipt.server,
        receipt.code,
        receipt.enhanced,
        receipt.text,
        receipt.suppress,
    )


def unpack_receipt(row: tuple[Any, ...]) -> Receipt:
    """Read a Receipt."""
    key, outcome, stage, server, code, enhanced, text, suppress = row
    return Receipt(
        key=key,
        outcome=_OUTCOMES[outcome],
        stage=_STAGES[stage],
        server=server,
        code=code,
        enhanced=enhanced,
        text=text,
        suppress=suppress,
    )


_OUTCOMES = {one.value: one for one in Outcome}
_STAGES = {one.value: one for one in Stage}


def pack_reader(reader: Reader) -> tuple[Any, ...]:
    """Write a Reader likewise."""
    return (
        reader.subscriber_id,
        reader.address,
        reader.name,
        reader.language,
        reader.timezone,
        reader.since.isoformat() if reader.since is not None else "",
        reader.revision,
    )


def unpack_reader(row: tuple[Any, ...]) -> Reader:
    """Read a Reader."""
    number, address, name, language, timezone, since, revision = row
    return Reader(
        subscriber_id=number,
        address=address,
        name=name,
        language=language,
        timezone=timezone,
        since=datetime.fromisoformat(since) if since else None,
        revision=revision,
    )

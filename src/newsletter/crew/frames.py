"""What a process of connections and its publisher say to each other: one asks, the other answers, frame by frame."""

from __future__ import annotations

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
    """The answer to a frame, when its intents are durable."""

    claimed: list[int]
    dealt: list[Dealt]


#: What a publisher says unasked.
STOP, CUT_CLEANLY, CUT = "stop", "cut cleanly", "cut"
#: The last note of a process that came to its end.
DONE = "done"


def pack_receipt(receipt: Receipt) -> tuple[Any, ...]:
    """Write a Receipt as what pickles quickly."""
    return (
        receipt.key,
        receipt.outcome.value,
        receipt.stage.value,
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
        outcome=Outcome(outcome),
        stage=Stage(stage),
        server=server,
        code=code,
        enhanced=enhanced,
        text=text,
        suppress=suppress,
    )


def pack_reader(reader: Reader) -> tuple[Any, ...]:
    """Write a Reader likewise."""
    return (
        reader.subscriber_id,
        reader.address,
        reader.name,
        reader.language,
        reader.timezone,
        reader.since,
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
        since=since,
        revision=revision,
    )

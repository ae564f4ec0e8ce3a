"""The proof: what its witness calls lost and doubled, and a short run with real kills."""

from __future__ import annotations

import json
import socket
from collections import Counter
from pathlib import Path

import pytest

from newsletter.cli import main
from newsletter.model import Delivery, DeliveryState, Reader
from newsletter.prove import Verdict, judge
from newsletter.prove.sink import Sink


def row(address: str, state: DeliveryState, *, presumed: bool = False) -> Delivery:
    return Delivery(
        issue_id=1, reader=Reader(subscriber_id=1, address=address), state=state, presumed=presumed
    )


@pytest.mark.parametrize(
    ("state", "presumed", "copies", "verdict"),
    [
        (DeliveryState.ACCEPTED, False, 1, Verdict()),
        (DeliveryState.ACCEPTED, False, 0, Verdict(lost=("a",))),
        (DeliveryState.ACCEPTED, False, 2, Verdict(doubled=("a",))),
        (DeliveryState.ACCEPTED, True, 0, Verdict(doubtful=("a",))),
        (DeliveryState.ACCEPTED, True, 1, Verdict(doubtful=("a",))),
        (DeliveryState.ACCEPTED, True, 2, Verdict(doubtful=("a",), doubled=("a",))),
        (DeliveryState.UNKNOWN, False, 1, Verdict(doubtful=("a",))),
        (DeliveryState.WAITING, False, 0, Verdict()),
        (DeliveryState.WAITING, False, 1, Verdict(doubled=("a",))),  # it will be sent once more
        (DeliveryState.REFUSED, False, 1, Verdict(doubled=("a",))),
        (None, False, 0, Verdict(lost=("a",))),
        (None, False, 1, Verdict(doubled=("a",))),
    ],
)
def test_the_witness_believes_the_server(
    state: DeliveryState | None, presumed: bool, copies: int, verdict: Verdict
) -> None:
    rows = [] if state is None else [row("a", state, presumed=presumed)]
    assert judge(["a"], rows, Counter({"a": copies} if copies else {})) == verdict


def test_one_whom_nobody_meant_is_doubled() -> None:
    assert judge([], [], Counter({"stranger": 1})).doubled == ("stranger",)


def test_the_server_writes_down_what_it_takes_before_it_says_so(tmp_path: Path) -> None:
    with Sink(tmp_path / "taken") as sink:
        seen: list[Counter[str]] = []
        sink.watch = lambda moment, nth: seen.append(sink.accepted()) if moment == "taken" else None
        with socket.create_connection(("127.0.0.1", sink.port)) as client, client.makefile("rb") as lines:
            client.sendall(
                b"EHLO me\r\nMAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nDATA\r\nHi\r\n.\r\nWHAT\r\nQUIT\r\n"
            )
            replies = [line[:3] for line in lines]
        assert replies == [b"220", *[b"250"] * 7, b"354", b"250", b"502", b"221"]
        assert seen == [Counter({"a@b": 1})]


def test_a_message_cut_off_before_its_dot_is_not_taken(tmp_path: Path) -> None:
    with Sink(tmp_path / "taken") as sink:
        with socket.create_connection(("127.0.0.1", sink.port)) as client:
            client.sendall(b"RCPT TO:<a@b>\r\nDATA\r\nHi\r\n")
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass
        assert not sink.accepted()


def test_a_short_proof_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["prove", "--messages", "120", "--kills", "3", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0, said
    assert said["holds"]
    assert said["account"]["audience"] == 120
    assert 1 <= said["kills"] <= 3, "on a slow machine it ends before the last"
    assert said["verdict"]["lost"] == said["verdict"]["doubled"] == []
    assert said["taken"] == 120 - len(said["verdict"]["doubtful"]) + said["doubtful_taken"]

"""Each fault of a server, in each way of sending, with TLS and without; then the witness, and what can be read."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from faults.certificates import Authority
from faults.ground import NOW, add_readers, issue_state, let_time_pass, make_issue, render
from faults.sender import configuration
from faults.senders import LONG
from faults.server import (
    DROP,
    MODES,
    SILENCE,
    TAKE_AND_DROP,
    TAKE_IN_SILENCE,
    USUAL,
    Act,
    FaultServer,
    Table,
    say,
)
from faults.witness import check
from newsletter import deliver as delivering
from newsletter.deliver import DeliveryOptions, deliver, release
from newsletter.errors import TransportError
from newsletter.model import Account, DeliveryState, IssueState, Stage
from newsletter.store import Store
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

READERS = 12
CONNECTIONS = 2
WINDOWS = {"plain": CONNECTIONS, "pipelined": 2 * CONNECTIONS, "chunked": 4 * CONNECTIONS}
NTH = 5  # the message that goes wrong; a connection's first one shows what the server can do
OPTIONS = DeliveryOptions(
    transport="smtp", connections=CONNECTIONS, reconnect=(0.0, 0.02, 0.05), grace=0.2, drain=0.5
)
QUICK = dict.fromkeys(Stage, 0.4) | dict.fromkeys((Stage.CONNECT, Stage.STARTTLS), 5.0)
ANY = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)
EARLY = (Stage.GREETING, Stage.EHLO)
GONE = r"closed the connection|[Cc]onnection reset|[Bb]roken pipe|EOF"


def twice(stage: Stage) -> Act:
    """Answer twice."""
    return Act(say=USUAL[stage] * 2, take=True)


#: What a server does, at which stages, and what an editor must find written of it.
FAULTS: dict[str, tuple[tuple[Stage, ...], Callable[[Stage], Act], str]] = {
    "drop": ((*EARLY, *ANY, Stage.BODY), lambda stage: DROP, GONE),
    "taken and dropped": ((Stage.END_OF_DATA,), lambda stage: TAKE_AND_DROP, GONE),
    "half an answer": (ANY, lambda stage: Act(say=USUAL[stage][:5], close=True), GONE + "|malformed"),
    "silence": ((*EARLY, *ANY), lambda stage: SILENCE, r"no answer within"),
    "taken in silence": ((Stage.END_OF_DATA,), lambda stage: TAKE_IN_SILENCE, r"no answer within"),
    "one octet at a time": (ANY, lambda stage: Act(say=USUAL[stage], drip=0.1), r"no answer within"),
    "421": (
        (*EARLY, *ANY),
        lambda stage: say("421 4.3.2 enough for today", close=True),
        f"421 4.3.2 enough|{GONE}",
    ),
    "421 and no farewell": (
        ANY,
        lambda stage: say("421 4.3.2 enough for today"),
        "421 4.3.2 enough|no answer",
    ),
    "450": (
        (Stage.RCPT, Stage.END_OF_DATA),
        lambda stage: say("450 4.2.0 greylisted"),
        "450 4.2.0 greylisted",
    ),
    "451": (ANY, lambda stage: say("451 4.3.0 not now"), "451 4.3.0 not now"),
    "452": (
        (Stage.RCPT, Stage.END_OF_DATA),
        lambda stage: say("452 4.2.2 mailbox full"),
        "452 4.2.2 mailbox full",
    ),
    "552": (
        (Stage.RCPT, Stage.END_OF_DATA),
        lambda stage: say("552 5.2.2 over quota"),
        "552 5.2.2 over quota",
    ),
    "550": (
        (Stage.RCPT, Stage.END_OF_DATA),
        lambda stage: say("550 5.1.1 no such user"),
        "550 5.1.1 no such user",
    ),
    "554": (ANY, lambda stage: say("554 5.3.0 transaction failed"), "554 5.3.0 transaction failed"),
    "5.7.1": (ANY, lambda stage: say("550 5.7.1 refused by policy"), "550 5.7.1 refused by policy"),
    "5.7.26": ((Stage.END_OF_DATA,), lambda stage: say("550 5.7.26 DMARC"), "550 5.7.26 DMARC"),
    "null MX": ((Stage.RCPT,), lambda stage: say("556 5.1.10 takes no mail"), "556 5.1.10 takes no mail"),
    "null MX by 550": (
        (Stage.RCPT,),
        lambda stage: say("550 5.1.10 takes no mail"),
        "550 5.1.10 takes no mail",
    ),
    "our null MX": ((Stage.MAIL, Stage.RCPT), lambda stage: say("550 5.7.27 null MX"), "550 5.7.27 null MX"),
    "garbage": ((*EARLY, *ANY), lambda stage: Act(say=b"\xff\xfe\x00 what\r\n"), "malformed"),
    "over 512 octets": (ANY, lambda stage: Act(say=b"250 " + b"x" * 600 + b"\r\n"), "malformed|too long|512"),
    "two answers": (ANY, twice, "unasked|out of place|step|250|354"),
    "out of place": (ANY, lambda stage: say("354 go on" if stage is not Stage.DATA else "250 ok"), "354|250"),
}
#: In the usual run: every fault one way, and the others where they differ.
USUAL_STAGES: dict[tuple[str, bool], tuple[Stage, ...]] = {
    ("pipelined", False): tuple(Stage),
    ("chunked", False): (Stage.RCPT, Stage.END_OF_DATA),
    ("plain", False): (Stage.END_OF_DATA,),
    ("pipelined", True): (Stage.MAIL, Stage.END_OF_DATA),
}
CASES = [
    (name, stage, mode, tls)
    for name, (stages, _, _) in FAULTS.items()
    for stage in stages
    for mode in MODES
    for tls in (False, True)
    if LONG or stage in USUAL_STAGES.get((mode, tls), ())
]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a fault is tried on: a store, a log, a way of sending, and perhaps an authority for TLS."""

    store: Store
    folder: Path
    mode: str = "pipelined"
    authority: Authority | None = None

    def serve(self, table: Table, **more: Any) -> FaultServer:
        """Make a server with these faults."""
        offers = MODES[self.mode]
        if self.authority is not None:
            more = {"tls": self.authority.context(), "offers": (*offers, "STARTTLS")} | more
        return FaultServer(self.folder / "accepted", table, **({"offers": offers} | more))

    def smtp(self) -> dict[str, str]:
        """Configure the way to it."""
        return {} if self.authority is None else {"security": "starttls", "ca_file": str(self.authority.file)}

    def release(
        self, count: int = READERS, address: Callable[[int], str] = "reader{}@example.org".format
    ) -> int:
        """Release an issue."""
        (self.folder / "accepted").touch()
        add_readers(self.store, count, address=address)
        issue_id = make_issue(self.store)
        release(self.store, issue_id, now=NOW)
        return issue_id

    def go(self, issue_id: int, port: int, **smtp: str) -> tuple[Account, str]:
        """Deliver; return the sum, and all that an editor can read of it."""
        context = TransportContext(config=configuration(port, **(self.smtp() | smtp)))
        said = ""
        try:
            deliver(
                self.store,
                issue_id,
                render,
                lambda: SmtpTransport(context, timeouts=QUICK),
                OPTIONS,
                clock=lambda: datetime.now(UTC),
            )
        except TransportError as e:
            said = str(e)
        audit = delivering.audit(self.store, issue_id)
        lines = [f"{one.code} {one.enhanced} {one.text}" for some in audit.attempts.values() for one in some]
        reasons = [one.reason for one in audit.deliveries]
        return audit.account, "\n".join([said, issue_state(self.store, issue_id)[1], *lines, *reasons])

    def check(self, issue_id: int, account: Account, *, events: int = 1) -> Counter[DeliveryState]:
        """Ask the witness; each event may leave as many in doubt as are in flight."""
        stand = check(self.store, issue_id, self.folder / "accepted")
        assert account.balances
        assert account.attempting == 0
        assert stand[DeliveryState.UNKNOWN] <= events * WINDOWS[self.mode]
        return stand


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give an authority that is trusted where it is named."""
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("name", "stage", "mode", "tls"),
    CASES,
    ids=[f"{name}-{stage}-{mode}{'-tls' * tls}" for name, stage, mode, tls in CASES],
)
def test_one_fault(
    sqlite_store: Store, tmp_path: Path, authority: Authority, name: str, stage: Stage, mode: str, tls: bool
) -> None:
    _, act, words = FAULTS[name]
    here = Ground(sqlite_store, tmp_path, mode, authority if tls else None)
    nth = 2 if stage in EARLY else NTH
    issue_id = here.release()
    with here.serve({(stage, nth): act(stage)}) as server:
        account, said = here.go(issue_id, server.port)
        stand = here.check(issue_id, account)
        if server.count(stage) >= nth:
            assert stage in EARLY or re.search(words, said), said
            assert not stand[DeliveryState.REFUSED] or name in ("550", "554", "null MX", "null MX by 550")
        let_time_pass(sqlite_store, issue_id)
        if issue_state(sqlite_store, issue_id)[0] is IssueState.HELD:
            release(sqlite_store, issue_id, now=NOW)
        account, _ = here.go(issue_id, server.port)
        stand = here.check(issue_id, account)
        assert account.waiting == 0
        assert stand[DeliveryState.ACCEPTED] >= READERS - WINDOWS[mode]


# A server that never does better


@pytest.mark.parametrize("stage", [*EARLY, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])
@pytest.mark.parametrize("name", ["421", "drop", "silence", "garbage", "5.7.1"])
@pytest.mark.parametrize("mode", MODES if LONG else ["pipelined"])
def test_a_fault_that_stays(sqlite_store: Store, tmp_path: Path, name: str, stage: Stage, mode: str) -> None:
    """It is left alone after a few tries, nobody is given up for it, and a server that is mended gets everything."""
    here = Ground(sqlite_store, tmp_path, mode)
    act = say("550 5.7.1 refused by policy") if name == "5.7.1" else FAULTS[name][1](stage)
    issue_id = here.release()
    with here.serve({(stage, 0): act}) as server:
        account, said = here.go(issue_id, server.port)
        here.check(issue_id, account, events=3)
        assert account.refused == account.accepted == 0
        assert account.waiting + account.unknown == READERS
        assert said.strip()
        assert server.count(Stage.GREETING) <= 4 * (len(OPTIONS.reconnect) + 1)
        server.table = {}
        let_time_pass(sqlite_store, issue_id)
        if issue_state(sqlite_store, issue_id)[0] is IssueState.HELD:
            release(sqlite_store, issue_id, now=NOW)
        account, _ = here.go(issue_id, server.port)
        here.check(issue_id, account, events=3)
        assert account.waiting == 0
        assert account.accepted >= READERS - 3 * WINDOWS[mode]


# TLS and names


def mended(here: Ground, issue_id: int) -> None:
    """Nothing was sent; when it is mended everything is."""
    assert not here.check(issue_id, delivering.audit(here.store, issue_id).account)[DeliveryState.ACCEPTED]
    let_time_pass(here.store, issue_id)
    if issue_state(here.store, issue_id)[0] is IssueState.HELD:
        release(here.store, issue_id, now=NOW)
    with here.serve({}) as server:
        account, _ = here.go(issue_id, server.port)
        assert account == Account(audience=READERS, accepted=READERS)
        here.check(issue_id, account)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "certificate has expired"),
        ("another name", "IP address mismatch"),
        ("self-signed", "self-signed certificate|unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_stops_the_issue(
    sqlite_store: Store, tmp_path: Path, authority: Authority, fault: str, words: str, security: str
) -> None:
    here = Ground(sqlite_store, tmp_path, authority=authority)
    issue_id = here.release()
    (tmp_path / "other").mkdir()
    bad = {
        "expired": lambda: authority.context(days=-1),
        "another name": lambda: authority.context(address="127.0.0.2"),
        "self-signed": lambda: Authority(tmp_path / "other", "server").context(),
    }[fault]()
    with here.serve({}, tls=bad, implicit=security == "tls") as server:
        account, _ = here.go(issue_id, server.port, security=security)
        assert account.waiting == READERS
        assert not [line for line in server.commands if line.startswith((b"MAIL", b"AUTH"))]
    state, reason = issue_state(sqlite_store, issue_id)
    assert state is IssueState.HELD
    assert re.search(words, reason), reason
    mended(here, issue_id)


@pytest.mark.parametrize(
    ("offers", "act", "words", "held"),
    [
        ((), None, "does not offer STARTTLS", True),
        (("STARTTLS",), say("454 4.7.0 no TLS now"), "454 4.7.0 no TLS now", False),
        (("STARTTLS",), say("502 5.5.1 what"), "502 5.5.1 what", False),
        (("STARTTLS",), Act(say=b"220 go ahead\r\n250 2.0.0 injected\r\n"), "spoke unasked", False),
        (("STARTTLS",), Act(say=b"220 go ahead\r\n", close=True), GONE, False),
    ],
    ids=["not offered", "454", "502", "plain text before TLS", "stripped"],
)
def test_no_tls_no_mail(
    sqlite_store: Store,
    tmp_path: Path,
    authority: Authority,
    offers: tuple[str, ...],
    act: Act | None,
    words: str,
    held: bool,
) -> None:
    here = Ground(sqlite_store, tmp_path, authority=authority)
    issue_id = here.release()
    table = {} if act is None else {(Stage.STARTTLS, 0): act}
    with here.serve(table, offers=(*MODES["plain"], *offers)) as server:
        account, said = here.go(issue_id, server.port)
        assert account.waiting == READERS
        assert re.search(words, said), said
        assert not [line for line in server.commands if line.startswith((b"MAIL", b"AUTH"))]
    assert (issue_state(sqlite_store, issue_id)[0] is IssueState.HELD) is held
    mended(here, issue_id)


@pytest.mark.parametrize(
    ("reply", "held", "tries"), [("535 5.7.8 wrong password", True, 1), ("454 4.7.0 try later", False, 4)]
)
def test_a_refused_login(
    sqlite_store: Store, tmp_path: Path, authority: Authority, reply: str, held: bool, tries: int
) -> None:
    here = Ground(sqlite_store, tmp_path, authority=authority)
    issue_id = here.release()
    offers = (*MODES["plain"], "STARTTLS", "AUTH PLAIN")
    with here.serve({(Stage.AUTH, 0): say(reply)}, offers=offers) as server:
        account, said = here.go(issue_id, server.port, username="ada", password="secret")
        assert account.waiting == READERS
        assert reply in said
        assert "secret" not in said
        assert tries <= server.count(Stage.AUTH) <= tries * CONNECTIONS
    assert (issue_state(sqlite_store, issue_id)[0] is IssueState.HELD) is held
    mended(here, issue_id)


def test_nobody_listens(sqlite_store: Store, tmp_path: Path) -> None:
    here = Ground(sqlite_store, tmp_path)
    issue_id = here.release()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    account, said = here.go(issue_id, port)
    assert account.waiting == READERS
    assert "refused" in said
    mended(here, issue_id)


def test_a_name_that_does_not_exist(sqlite_store: Store, tmp_path: Path) -> None:
    here = Ground(sqlite_store, tmp_path)
    issue_id = here.release()
    account, said = here.go(issue_id, 25, host="mail.nowhere.invalid")
    assert account.waiting == READERS
    assert re.search("name|Name|resolution", said), said
    mended(here, issue_id)


def test_a_resolver_that_is_away(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*given: object, **more: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    here = Ground(sqlite_store, tmp_path)
    issue_id = here.release()
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        account, said = here.go(issue_id, 25, host="mail.example.org")
    assert account.waiting == READERS
    assert "Temporary failure in name resolution" in said
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.RELEASED
    mended(here, issue_id)

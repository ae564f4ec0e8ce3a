"""Several servers: connections spread by weight, a failing one rests, and the others carry on."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from faults.ground import issue_state, render
from faults.sender import configuration
from faults.server import DROP, Act, FaultServer, say
from faults.witness import check, release_to
from newsletter.config import SmtpConfig, SmtpServerConfig
from newsletter.deliver import DeliveryOptions, deliver
from newsletter.errors import TransportError
from newsletter.model import Account, DeliveryState, IssueState, Stage
from newsletter.store import Store, schema
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport
from newsletter.transports.smtp.routes import Routes

ONE, TWO, THREE = (
    SmtpServerConfig(host=f"{name}.example.org", weight=weight)
    for name, weight in (("a", 1), ("b", 2), ("c", 1))
)
MEND = TransportError("its certificate is not valid", lasting=True)
UNWELCOME = TransportError("554 5.7.1 no", lasting=True, rest=60.0)
OPTIONS = DeliveryOptions(transport="smtp", reconnect=(0.0, 0.05, 0.1), grace=0.2, drain=0.5, connections=3)


class Time:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_connections_are_spread_by_weight() -> None:
    routes, open_at = Routes((ONE, TWO, THREE)), Counter[str]()
    for _ in range(12):
        server = routes.order()[0]
        routes.opened(server)
        open_at[server.host] += 1
    assert open_at == {"a.example.org": 3, "b.example.org": 6, "c.example.org": 3}
    routes.closed(TWO)
    assert routes.order()[0] == TWO


def test_a_server_that_fails_rests_longer_each_time() -> None:
    time = Time()
    routes = Routes((ONE, TWO), time)
    for shortest in (30, 60, 120, 240, 480, 960, 1800, 1800):
        routes.failed(TWO, TransportError("no answer"))
        assert routes.order() == [ONE]
        time.now += shortest * 0.99
        assert routes.order() == [ONE]
        time.now += shortest * 0.22
        assert routes.order()[0] == TWO
    routes.carried(TWO)
    routes.failed(TWO, TransportError("no answer"))
    time.now += 37
    assert routes.order()[0] == TWO, "what worked meanwhile begins anew"


def test_what_must_be_mended_rests_an_hour_and_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    routes = Routes((ONE, TWO), time)
    routes.failed(ONE, MEND)
    routes.failed(TWO, TransportError("no answer"))
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert routes.order() == [TWO], "of those that rest the one that wakes first"
    time.now += 3599
    assert routes.order() == [TWO]
    time.now += 730
    assert len(routes.order()) == 2
    routes.failed(ONE, UNWELCOME)
    time.now += 73
    assert len(routes.order()) == 2


def test_the_servers_are_checked_when_the_configuration_is_read() -> None:
    with pytest.raises(ValidationError, match="needs its host"):
        SmtpConfig(host="a.example.org", also=(SmtpServerConfig(),))
    with pytest.raises(ValidationError, match="first server in"):
        SmtpConfig(also=(ONE,))
    with pytest.raises(ValidationError, match=r"named twice: a\.example\.org:587"):
        SmtpConfig(host="a.example.org", also=(ONE,))
    with pytest.raises(ValidationError, match="without TLS"):
        SmtpConfig(host="a.example.org", also=(SmtpServerConfig(host="b", username="me", security="none"),))


def context_of(*servers: FaultServer, weights: tuple[int, ...] = (1, 1)) -> TransportContext:
    """Configure these servers of the loopback."""
    config = configuration(servers[0].port)
    others = [
        SmtpServerConfig(host="127.0.0.1", port=one.port, security="none", weight=weight)
        for one, weight in zip(servers[1:], weights[1:], strict=False)
    ]
    smtp = config.smtp.model_copy(update={"also": tuple(others), "weight": weights[0]})
    return TransportContext(config=config.model_copy(update={"smtp": smtp}))


def go(store: Store, issue_id: int, context: TransportContext, processes: int = 0) -> Account:
    """Deliver over the servers of a configuration."""
    options = DeliveryOptions(
        transport="smtp",
        reconnect=(0.0, 0.05, 0.1),
        grace=0.2,
        drain=0.5,
        connections=4,
        processes=processes,
    )
    connect = partial(SmtpTransport, context)
    return deliver(store, issue_id, render, connect, options, clock=lambda: datetime.now(UTC))


@pytest.mark.parametrize("processes", [0, 2])
def test_several_servers_share_an_issue(sqlite_store: Store, tmp_path: Path, processes: int) -> None:
    log = tmp_path / "accepted"
    with release_to(sqlite_store, 150, log) as (issue_id, one), FaultServer(log) as two:
        account = go(sqlite_store, issue_id, context_of(one, two), processes)
        assert account == Account(audience=150, accepted=150)
        assert check(sqlite_store, issue_id, log) == {DeliveryState.ACCEPTED: 150}
        assert one.count(Stage.GREETING) >= 1
        assert two.count(Stage.GREETING) >= 1
        assert len(one.contents) + len(two.contents) == 150
        with sqlite_store.read() as tx:
            used = set(tx.execute(schema.attempts.select()).scalars("server"))
    assert used == {f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"}


@pytest.mark.parametrize(
    ("stage", "act"),
    [
        (Stage.GREETING, DROP),
        (Stage.GREETING, say("421 4.3.2 not now", close=True)),
        (Stage.GREETING, say("554 5.7.1 not you", close=True)),
        (Stage.EHLO, say("500 what", close=True)),
        (Stage.MAIL, say("421 4.3.2 not now", close=True)),
        (Stage.MAIL, say("451 4.3.0 not now")),
        (Stage.DATA, DROP),
    ],
)
def test_when_one_fails_the_others_carry_on(
    sqlite_store: Store, tmp_path: Path, stage: Stage, act: Act
) -> None:
    log = tmp_path / "accepted"
    with release_to(sqlite_store, 60, log, {(stage, 0): act}) as (issue_id, bad), FaultServer(log) as good:
        account = go(sqlite_store, issue_id, context_of(bad, good))
        stand = check(sqlite_store, issue_id, log)
        assert issue_state(sqlite_store, issue_id)[0] is not IssueState.HELD
        assert account.refused == account.unknown == 0
        assert stand[DeliveryState.ACCEPTED] >= 60 - 3 * 3, "but for those that the bad one put off"
        assert bad.count(Stage.GREETING) <= 4
        assert not bad.contents


def test_a_server_that_turns_us_away_is_left_alone_for_an_hour(sqlite_store: Store, tmp_path: Path) -> None:
    table = {(Stage.GREETING, 0): say("554 5.7.1 no service for you", close=True)}
    with release_to(sqlite_store, 10, tmp_path / "accepted", table) as (issue_id, server):
        before = datetime.now(UTC)
        assert go(sqlite_store, issue_id, context_of(server)).waiting == 10
        state, reason = issue_state(sqlite_store, issue_id)
        assert state is IssueState.HELD
        assert "554 5.7.1 no service for you" in reason
        with sqlite_store.read() as tx:
            row = tx.execute(schema.issues.select().where(schema.issues.c.id == issue_id)).one()
        assert 3590 < (row.held_until - before).total_seconds() < 3700
        assert server.count(Stage.GREETING) == 1


def test_what_connections_share_does_not_go_to_another_process(tmp_path: Path) -> None:
    context = TransportContext(config=configuration(25))
    SmtpTransport(context)
    assert context.common
    assert pickle.loads(pickle.dumps(context)).common == {}
    assert pickle.loads(pickle.dumps(context)).config == context.config

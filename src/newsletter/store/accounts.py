"""An issue's account by domain and by what servers said, and its history line by line."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, func, select

from newsletter.model import Attempt, Outcome, Reader
from newsletter.store.deliveries import RETRIED, attempt_of
from newsletter.store.engine import Tx
from newsletter.store.schema import attempts, deliveries

_PAGE = 1000
_SAID = (attempts.c.outcome, attempts.c.stage, attempts.c.code, attempts.c.enhanced, attempts.c.text)


def by_domain(tx: Tx, issue_id: int) -> Iterator[tuple[str, str, int]]:
    """Give how many of a domain's readers stand in a state: domain, state, count; of the erased no domain is known."""
    domain = _domain(tx).label("domain")
    query = (
        select(domain, deliveries.c.state, func.count())
        .where(deliveries.c.issue_id == issue_id)
        .group_by(domain, deliveries.c.state)
    )
    for name, state, count in tx.execute(query):
        yield name, state.value, count


def _domain(tx: Tx) -> ColumnElement[str]:
    find = func.strpos if tx.dialect.name == "postgresql" else func.instr
    return func.lower(func.substr(deliveries.c.address, find(deliveries.c.address, "@") + 1))


def troubles(tx: Tx, issue_id: int) -> Iterator[tuple[Attempt, int]]:
    """Give what was said at attempts that ended in no acceptance, each with how often; one by one."""
    said_by_others = (attempts.c.outcome != Outcome.ACCEPTED, attempts.c.text != RETRIED)
    query = (
        select(*_SAID, func.count().label("times"), func.max(attempts.c.at), func.max(attempts.c.epoch))
        .where(attempts.c.issue_id == issue_id, *said_by_others)
        .group_by(*_SAID)
    )
    for *said, times, at, epoch in tx.execute(query, execution_options={"yield_per": _PAGE}):
        names = (column.name for column in _SAID)
        yield Attempt(at=at, epoch=epoch, **dict(zip(names, said, strict=True))), times


def lines(tx: Tx, issue_id: int) -> Iterator[tuple[Reader, Attempt]]:
    """Give every attempt of an issue in its order with whom it was for; not all of them are ever in memory."""
    query = (
        select(attempts, deliveries.c.address, deliveries.c.name)
        .join(
            deliveries,
            (deliveries.c.issue_id == attempts.c.issue_id)
            & (deliveries.c.subscriber_id == attempts.c.subscriber_id),
        )
        .where(attempts.c.issue_id == issue_id)
        .order_by(attempts.c.id)
    )
    for row in tx.execute(query, execution_options={"yield_per": _PAGE}):
        yield Reader(subscriber_id=row.subscriber_id, address=row.address, name=row.name), attempt_of(row)

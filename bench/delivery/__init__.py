"""Delivering an issue, everything on: a durable ledger, personal, signed with RSA-2048, 79 kB.

Each round measures all its lines one after the other; ratios are of a round, and what is shown are medians.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import median

from bench import sink
from bench.delivery import peers, trial
from bench.delivery.trial import Case, Measured
from bench.harness import Figure

FEW, MANY, MILLION = 10_000, 100_000, 1_000_000
ROUNDS, MANY_ROUNDS = 5, 3
VARIED, VARIED_ROUNDS = 3000, 3
NAIVE, POOLED, LATE = 30, 2000, 1000  # messages of the peers in a round
DELAY, CONNECTIONS = 0.02, 10


@dataclass(frozen=True, slots=True)
class Round:
    """A delivery, and what the machine could do in the same minute: signatures a second, seconds of one."""

    ours: Measured
    openssl: float
    signature: float


def measure(case: Case) -> Round:
    """Deliver once between two measurements of bare signing."""
    before = peers.openssl_rate(), peers.signature_cost()
    ours = trial.deliver(case)
    after = peers.openssl_rate(), peers.signature_cost()
    return Round(ours, *((a + b) / 2 for a, b in zip(before, after, strict=True)))


def figures() -> list[Figure]:
    """Measure all but what takes many minutes."""
    few = [measure(Case(readers=FEW)) for _ in range(ROUNDS)]
    many = [measure(Case(readers=MANY))]
    seconds = many[0].ours.wall * MILLION / MANY
    return [
        *whole(few),
        *whole(many),
        Figure("a million at that rate", f"{seconds:,.0f} s", "", "", "≤ 300 s"),
        linear(many, few),
        *varied(),
        *against_peers(),
    ]


def million() -> list[Figure]:
    """Deliver to a million readers once, and before that to fewer, several times in turn."""
    few, many = [], []
    for _ in range(MANY_ROUNDS):
        few.append(measure(Case(readers=FEW)))
        many.append(measure(Case(readers=MANY)))
    all_of_them = [measure(Case(readers=MILLION))]
    return [*whole(many), linear(many, few), *whole(all_of_them), linear(all_of_them, many)]


def linear(many: list[Round], few: list[Round]) -> Figure:
    """Compare a message among many with one among few."""
    size, other = many[0].ours.messages, few[0].ours.messages
    times = median(one.ours.wall for one in many) / size / (median(one.ours.wall for one in few) / other)
    what = f"a message among {size:,} against one among {other:,}"
    return Figure(what, micro(many, "wall"), micro(few, "wall"), f"{times:.2f}× its time", "linear: ≤ 1.1×")


def micro(rounds: list[Round], what: str) -> str:
    """Write the median of a measure for one message."""
    each = median(getattr(one.ours, what) / one.ours.messages for one in rounds)
    return f"{each * 1e6:,.0f} µs"


def whole(rounds: list[Round]) -> list[Figure]:
    """Tell of deliveries to as many readers each."""
    ours = [one.ours for one in rounds]
    readers = f"{ours[0].messages:,} readers"
    rate, wall = median(one.rate for one in ours), median(one.wall for one in ours)
    return [
        against_openssl(f"{readers}, against `openssl speed -multi 2 rsa2048`", rate, wall, rounds),
        Figure(
            f"{readers}: CPU a message, against a bare signature by cryptography",
            f"{median(one.cost for one in ours):,.0f} µs",
            f"{median(one.signature for one in rounds) * 1e6:,.0f} µs",
            f"{median(one.ours.cost / one.signature / 1e6 for one in rounds):.1f}× its CPU",
            "≤ 1.9×",
        ),
        *of_ledger(readers, rounds),
        *memory(readers, ours),
        Figure(
            f"{readers}: freezing the audience, not counted above",
            f"{median(one.release for one in ours):,.2f} s",
        ),
        Figure(f"{readers}: the server's CPU a message, not counted above", micro(rounds, "sink")),
    ]


def of_ledger(readers: str, rounds: list[Round]) -> list[Figure]:
    """Tell what the ledger's thread takes of the CPU, and its process where others make the messages."""
    ours = [one.ours for one in rounds]
    share = median(one.ledger / one.cpu for one in ours)
    what = f"{readers}: the thread that writes the ledger, of that CPU"
    lines = [Figure(what, micro(rounds, "ledger"), "", f"{share:.1%}", "≤ 5 %")]
    if ours[-1].workers:
        each = median((one.cpu - one.workers) / one.messages * 1e6 for one in ours)
        share = median(1 - one.workers / one.cpu for one in ours)
        lines.append(Figure(f"{readers}: its whole process", f"{each:,.0f} µs", "", f"{share:.1%}"))
    return lines


def against_openssl(what: str, rate: float, wall: float, rounds: list[Round]) -> Figure:
    """Put our rate beside the one at which two cores do nothing but sign."""
    ours = f"{rate:,.0f}/s ({wall:,.0f} s)"
    if not rounds[0].openssl:
        return Figure(what, ours, "not measured: openssl is not installed", "", "≥ 0.5×")
    peer = f"{median(one.openssl for one in rounds):,.0f}/s"
    ratio = median(one.ours.rate / one.openssl for one in rounds)
    return Figure(what, ours, peer, f"{ratio:.2f}× its rate", "≥ 0.5×")


def memory(readers: str, ours: list[Measured]) -> list[Figure]:
    """Tell what the last delivery's processes held."""
    goal = "≤ 60 MB a worker, flat"
    lines = [Figure(f"{readers}: memory of the process", str(ours[-1].own or "not measured"), "", "", goal)]
    if ours[-1].worker:
        lines.append(Figure(f"{readers}: memory of its largest worker", str(ours[-1].worker), "", "", goal))
    return lines


def varied() -> list[Figure]:
    """Compare what can be switched with the delivery as it comes, inside a round."""
    usual = Case(readers=VARIED)
    cases = {
        "by DATA, the server offering no CHUNKING": replace(usual, chunking=False),
        "over STARTTLS": replace(usual, tls=True),
        "without DKIM": replace(usual, dkim=False),
        "replies 20 ms late": replace(usual, delay=DELAY),
    }
    pairs: dict[str, list[tuple[Measured, Measured]]] = defaultdict(list)
    with trial.postgres() as urls:
        for _ in range(VARIED_ROUNDS):
            url = next(urls, "")
            last = {"with PostgreSQL": replace(usual, postgres=url)} if url else {}
            base = trial.deliver(usual)
            for what, case in (cases | last).items():
                pairs[what].append((base, trial.deliver(case)))
    lines = [variant(what, each) for what, each in pairs.items()]
    if "with PostgreSQL" not in pairs:
        lines.append(Figure("with PostgreSQL", "not measured: it is not installed"))
    return lines


def variant(what: str, pairs: list[tuple[Measured, Measured]]) -> Figure:
    """Put a variant beside the usual."""
    rates = [f"{median(one.rate for one in side):,.0f}/s, {median(one.cost for one in side):,.0f} µs CPU"
             for side in zip(*pairs, strict=True)]  # fmt: skip
    ratio = median(other.rate / usual.rate for usual, other in pairs)
    return Figure(
        f"{VARIED:,} readers {what}, against all as before", rates[1], rates[0], f"{ratio:.2f}× its rate"
    )


def against_peers() -> list[Figure]:
    """Compare with other ways to send the same message, into the same server."""
    eml = trial.example()
    naive, pooled, late = [], [], []
    for _ in range(VARIED_ROUNDS):
        with sink.started() as server:
            taken = peers.send_naively(eml, server.port, NAIVE)
            naive.append((NAIVE, *taken, trial.deliver(Case(readers=VARIED))))
            taken = peers.send_pooled(eml, server.port, POOLED, CONNECTIONS)
            pooled.append((POOLED, *taken, trial.deliver(Case(readers=VARIED, connections=CONNECTIONS))))
        with sink.started(delay=DELAY) as server:
            taken = peers.send_pooled(eml, server.port, LATE, CONNECTIONS)
            case = Case(readers=VARIED, connections=CONNECTIONS, delay=DELAY)
            late.append((LATE, *taken, trial.deliver(case)))
    pool = (
        f"{CONNECTIONS} connections, against a sender as listmonk is (two processes, a command at a time over"
    )
    pool += f" {CONNECTIONS} pooled connections, a template rendered for each reader, unsigned, no ledger)"
    return [
        peer(
            "against jinja2, premailer, EmailMessage, dkimpy and smtplib for each reader, one process",
            naive,
            "≥ 50×",
        ),
        peer(pool, pooled),
        peer(f"{pool}, replies 20 ms late", late),
    ]


def peer(what: str, rounds: list[tuple[int, float, float, Measured]], goal: str = "") -> Figure:
    """Put a delivery of ours beside another sender."""
    mine = [one for *_, one in rounds]
    ours = f"{median(one.rate for one in mine):,.0f}/s, {median(one.cost for one in mine):,.0f} µs CPU"
    rate = median(count / wall for count, wall, _, _ in rounds)
    cost = median(used / count * 1e6 for count, _, used, _ in rounds)
    ratio = median(one.rate / (count / wall) for count, wall, _, one in rounds)
    return Figure(what, ours, f"{rate:,.0f}/s, {cost:,.0f} µs CPU", f"{ratio:.1f}× its rate", goal)

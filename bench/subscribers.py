"""Importing and exporting subscribers, every row with its consent, against bare rows by csv and executemany.

Each measurement is a process of its own; each round measures all its lines one after the other.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.harness import NOW, ROOT, Figure, cpu

FEW, MILLION, ROUNDS = 20_000, 1_000_000, 3
HEADER = ("email", "name", "newsletters", "language", "timezone", "status", "consent_at", "consent_source")
SECONDS, MEGABYTES = "≤ 60 s", "≤ 200 MB"


@dataclass(frozen=True, slots=True)
class Took:
    """What one piece of work took: wall and CPU seconds, and the most memory that was resident, in MB."""

    wall: float
    cpu: float
    memory: float


# What a process of its own does


def bring(url: str, file: str) -> None:
    """Import a file with all that belongs to it."""
    from newsletter import subscriptions
    from newsletter.store import open_store

    with open_store(url) as store:
        report = subscriptions.import_csv(store, Path(file), newsletters=["weekly"], now=NOW)
    assert report.added, report
    assert not report.refused, report


def take(url: str, file: str) -> None:
    """Export everybody."""
    from newsletter import subscriptions
    from newsletter.store import open_store

    with open_store(url) as store:
        assert subscriptions.export_csv(store, Path(file))


def verify(url: str, file: str) -> None:
    """Compute the whole chain of consents anew."""
    from newsletter import subscriptions
    from newsletter.store import open_store

    with open_store(url) as store:
        assert not subscriptions.verify(store).broken


def bring_bare(url: str, file: str) -> None:
    """Read with csv and insert with executemany: one table, nothing checked, no consent, one transaction."""
    with sqlite3.connect(url) as connection, Path(file).open(encoding="utf-8", newline="") as stream:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE people ({', '.join(HEADER)}, UNIQUE (email))")
        rows = csv.reader(stream)
        next(rows)
        connection.executemany(f"INSERT INTO people VALUES ({', '.join('?' * len(HEADER))})", rows)


def take_bare(url: str, file: str) -> None:
    """Select and write with csv."""
    with sqlite3.connect(url) as connection, Path(file).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(connection.execute("SELECT * FROM people ORDER BY email"))


WORK: dict[str, Callable[[str, str], None]] = {
    one.__name__: one for one in (bring, take, verify, bring_bare, take_bare)
}


def main(name: str, url: str, file: str) -> None:
    """Do one piece of work and print what it took."""
    began = time.perf_counter(), cpu()
    WORK[name](url, file)
    took = time.perf_counter() - began[0], cpu() - began[1]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps([*took, float(status["VmHWM"].split()[0]) / 1e3]))


# Measuring


def measure(name: str, url: str, file: Path) -> Took:
    """Do one piece of work in a process of its own."""
    command = [sys.executable, "-m", "bench.subscribers", name, url, str(file)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Took(*json.loads(done.stdout))


def write_people(file: Path, count: int) -> None:
    """Write a file of people as a publication has them: most at few providers, the others each at their own."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for n in range(count):
            domain = f"mail{n % 7}.example.org" if n % 4 else f"firm{n}.example.com"
            said = (
                "en-AU",
                "Australia/Sydney",
                "active",
                f"2026-01-{n % 28 + 1:02}T10:00:00+00:00",
                "sign-up page",
            )
            writer.writerow((f"reader.{n * 7919 % count}@{domain}", f"Reader {n}", "weekly", *said))


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Iterator[str]]]:
    """Give new stores without end on each database that there is."""
    sys.path.append(str(ROOT / "tests"))  # they know how to run a PostgreSQL
    from private_postgres import find_programs, start

    def made(server: object) -> Iterator[str]:
        for n in range(1000):
            server.create(f"s{n}")  # type: ignore[attr-defined]  # a PrivatePostgres
            yield server.url(f"s{n}")  # type: ignore[attr-defined]

    with ExitStack() as stack:
        urls: dict[str, Iterator[str]] = {
            "SQLite": (f"sqlite:///{folder}/{n}/newsletter.db" for n in range(1000))
        }
        if (programs := find_programs()) is not None:
            urls["PostgreSQL"] = made(stack.enter_context(start(programs, durable=True)))
        yield urls


def measured(count: int, rounds: int) -> list[Figure]:
    """Measure every piece of work in turn, as many rounds."""
    taken: dict[tuple[str, str], list[Took]] = {}
    with tempfile.TemporaryDirectory() as name, databases(Path(name)) as urls:
        folder = Path(name)
        write_people(folder / "people.csv", count)
        for number in range(rounds):
            bare = f"{folder}/bare{number}.db"
            taken.setdefault(("bare", "bring"), []).append(measure("bring_bare", bare, folder / "people.csv"))
            taken.setdefault(("bare", "take"), []).append(measure("take_bare", bare, folder / "bare.csv"))
            for database, stores in urls.items():
                url = next(stores)
                for work, file in (("bring", "people.csv"), ("take", "out.csv"), ("verify", "")):
                    taken.setdefault((database, work), []).append(measure(work, url, folder / file))
        lines = [line for database in urls for line in of_database(count, database, taken)]
    if "PostgreSQL" not in urls:
        lines.append(Figure("with PostgreSQL", "not measured: it is not installed"))
    return lines


def of_database(count: int, database: str, taken: dict[tuple[str, str], list[Took]]) -> list[Figure]:
    """Tell of one database."""
    lines = []
    goal = SECONDS if count == MILLION and database == "SQLite" else ""
    for work, what in (
        ("bring", "importing"),
        ("take", "exporting"),
        ("verify", "verifying the consents of"),
    ):
        ours, peer = taken[database, work], taken.get(("bare", work), [])
        ratio = (
            f"{median(a.wall / b.wall for a, b in zip(ours, peer, strict=True)):.1f}× its time"
            if peer
            else ""
        )
        title = f"{what} {count:,} rows, {database}"
        lines.append(Figure(title, shown(ours), shown(peer) if peer else "", ratio, goal if peer else ""))
    most = max(one.memory for work in ("bring", "take", "verify") for one in taken[database, work])
    lines.append(Figure(f"the most memory of these, {database}", f"{most:.0f} MB", "", "", MEGABYTES))
    return lines


def shown(rounds: list[Took]) -> str:
    """Write medians."""
    return f"{median(one.wall for one in rounds):.1f} s, {median(one.cpu for one in rounds):.1f} s CPU"


def figures() -> list[Figure]:
    """Measure few rows, several times."""
    return measured(FEW, ROUNDS)


def million() -> list[Figure]:
    """Measure a million rows once."""
    return measured(MILLION, 1)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The contract of the store when its writer is killed."""

from __future__ import annotations

import os
import random
import signal

from sqlalchemy import func, select, text

from newsletter.store import Store, open_store
from newsletter.store.schema import METADATA, quarantine
from processes import child, line

WRITERS = """
    import os, sys
    import psycopg, sqlalchemy.dialects.sqlite, sqlalchemy.dialects.postgresql.psycopg
    from newsletter.store import meta, open_store
    from newsletter.store.schema import quarantine
    from sqlalchemy import insert
    import rows

    for life in range(int(sys.argv[2])):
        pid = os.fork()
        if pid == 0:
            store = open_store(sys.argv[1])
            print("pid", os.getpid(), flush=True)
            for number in range(10_000):
                fact = f"{life}-{number}"
                with store.write() as tx:
                    meta.put(tx, fact, "told")
                    tx.execute(insert(quarantine), [
                        dict(rows.row(quarantine, part), source=fact, source_key=str(part))
                        for part in range(number % 7 * 5 + 1)
                    ])
                print("done", fact, flush=True)
            os._exit(0)
        print("dead", os.WTERMSIG(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_whatever_was_committed_survives_kill_9(store: Store, store_url: str) -> None:
    """A writer is killed at 20 random moments; its transactions are whole or not there, the told ones there."""
    lives, told = 20, set()
    chance = random.Random(20261123)
    with child(WRITERS, store_url, str(lives)) as process:
        for _ in range(lives):
            pid, patience = 0, chance.randrange(14)
            while (said := line(process)) and not said.startswith("dead"):
                kind, value = said.split()
                if kind == "pid":
                    pid = int(value)
                else:
                    told.add(value)
                if pid and patience == 0:
                    os.kill(pid, signal.SIGKILL)
                patience -= 1
            assert said == f"dead {signal.SIGKILL:d}", "the writer failed by itself"
    with open_store(store_url) as again, again.read() as tx:
        facts = set(tx.execute(select(METADATA.tables["meta"].c.key).where(text("value = 'told'"))).scalars())
        counts = select(quarantine.c.source, func.count().label("parts")).group_by(quarantine.c.source)
        parts = {row.source: row.parts for row in tx.execute(counts)}
        if again.dialect == "sqlite":
            assert tx.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    assert told
    assert told <= facts
    assert len(facts - told) <= lives  # committed, but killed before it could tell
    assert {fact: parts.get(fact, 0) for fact in facts} == {
        f: int(f.split("-")[1]) % 7 * 5 + 1 for f in facts
    }
    assert set(parts) <= facts

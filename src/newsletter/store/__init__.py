"""The store: everything that must survive, in SQLite or PostgreSQL; SQL lives here only.

`engine` opens it and gives transactions; each other module holds the functions of one family of tables,
taking a transaction first and returning nouns.
"""

from newsletter.store.engine import Store, Tx, open_store

__all__ = ["Store", "Tx", "open_store"]

"""The schema's history, packaged: Alembic runs it inside one transaction when a store is opened.

Alembic itself is imported only when there is something to upgrade; `HEAD` is the newest revision, and a test
compares it with the scripts.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from newsletter.errors import StoreError

HEAD = "0012"


def stored_revision(connection: Connection) -> str | None:
    """Return the revision a database stands at, None for an empty one.

    Raises StoreError when the tables in it are another program's.
    """
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names and "meta" in names:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if names:
        raise StoreError(
            f"the database holds another program's tables ({', '.join(sorted(names)[:3])})",
            remedy="Name an empty database",
        )
    return None


def upgrade(connection: Connection) -> None:
    """Bring the database to `HEAD` inside the caller's transaction.

    Raises StoreError when its revision is one this version does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as e:
        raise StoreError(
            f"the store was written by a newer version ({e})", remedy="Install that version or a later one"
        ) from e
    if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise StoreError(
            "the upgrade left rows that refer to nothing", remedy="Nothing was changed; report this"
        )

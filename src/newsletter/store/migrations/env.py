"""Alembic's environment: it runs on the connection, and inside the transaction, that it is given."""

from alembic import context

from newsletter.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

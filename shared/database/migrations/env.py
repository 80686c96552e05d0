"""Alembic's entry: run the migrations on the connection that the migrate command made."""

from alembic import context

from shared.database.tables import alerts, funnels, lanes, metadata, segmenter  # noqa: F401  registers them

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

"""The policies as the api writes them: drafts, and when each was activated."""

from sqlalchemy import Column, DateTime, Integer, Interval, Table, Text

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)

policies = Table(
    "policies",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("new_for", Interval, nullable=False),
    Column("silent_after", Interval, nullable=False),
    Column("churned_after", Interval, nullable=False),
    Column("returned_for", Interval, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),  # product time, but of the first policy
    Column("activated_at", INSTANT),  # product time; null: a draft
    Column("created_by", Text, nullable=False),
    Column("activated_by", Text),
    Column("activated_note", Text),
)

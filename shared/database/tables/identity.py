"""The tables of identity: what events claim of each other's ids, and whose an id became when."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, Uuid

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)
KEY = Text(collation="C")

identity_claims = Table(
    "identity_claims",
    metadata,
    Column("claimed", KEY, primary_key=True),
    Column("target", KEY, primary_key=True),
    Column("at", INSTANT, nullable=False),  # event time, of the first event that claims it
    Column("source", KEY, nullable=False),
    Column("event_id", KEY, nullable=False),
    Column("fault", Text),  # null: it holds
    Column("decided_at", INSTANT, nullable=False),  # product time
)

merges = Table(
    "merges",
    metadata,
    Column("merge_id", Uuid, primary_key=True),
    Column("merged_at", INSTANT, nullable=False),  # product time
    Column("absorbed", KEY, nullable=False),
    Column("into_user", KEY, nullable=False),  # itself: it became a user of its own again
    Column("from_user", KEY, nullable=False),  # whose it was before
    Column("source", Text, nullable=False),  # with event_id and at: the event that claimed it
    Column("event_id", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("events_moved", BigInteger, nullable=False),
    Column("steps_retracted", Integer, nullable=False),  # of the absorbed id's own history
    Column(
        "steps_written", Integer, nullable=False
    ),  # of the user's, by all that was merged at once
)

"""The tables of funnels: defined by the api, counted by the segmenter."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)
KEY = Text(collation="C")

funnels = Table(
    "funnels",
    metadata,
    Column("funnel_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("steps", JSONB, nullable=False),  # [{event, type, conditions: [{property, equals}]}]
    Column("window_s", Integer, nullable=False),
    Column("state", Text, nullable=False),  # backfilling, live, deleting
    Column("created_at", INSTANT, nullable=False),  # product time
    Column("held_since", INSTANT),  # of what came earlier the event log no longer held everything
    Column("pages_done", BigInteger, nullable=False),  # of the event log, by its back-fill
    Column("pages", BigInteger),  # null: not known yet
)

# One row. Another version: other definitions.
funnels_version = Table(
    "funnels_version",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("version", Uuid, nullable=False),
)

funnel_users = Table(
    "funnel_users",
    metadata,
    Column("funnel_id", Integer, primary_key=True),
    Column("user_id", KEY, primary_key=True),
    Column("marks", LargeBinary, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
)

funnel_counts = Table(
    "funnel_counts",
    metadata,
    Column("funnel_id", Integer, primary_key=True),
    Column("day", Date, primary_key=True),  # in the product's time zone
    Column("step", SmallInteger, primary_key=True),  # from 1
    Column("shard", SmallInteger, primary_key=True),
    Column("users", BigInteger, nullable=False),
)

"""The segmenter's tables: users, the event log, transitions and the policies it follows."""

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)
KEY = Text(collation="C")

users = Table(
    "users",
    metadata,
    Column("user_id", KEY, primary_key=True),
    Column("part", Integer, nullable=False),  # the events partition whose lane sweeps this user
    Column("first_seen", INSTANT, nullable=False),
    Column("last_seen", INSTANT, nullable=False),
    Column("span_start", INSTANT, nullable=False),  # the latest span of activity ends at last_seen
    Column("earlier_spans", ARRAY(INSTANT), nullable=False),  # start, end, start, end, … ascending
    Column("lifecycle", Text, nullable=False),
    Column("lifecycle_since", INSTANT, nullable=False),
    Column("deadline", INSTANT),  # null: time alone changes nothing any more
    Column("deadline_to", Text),
    Column("event_count", BigInteger, nullable=False),
    Column("known_at", INSTANT, nullable=False),  # the latest received_at folded for this user
    Column("policy_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),  # counts the corrections of this user's history
    Column("updated_at", INSTANT, nullable=False),
    Column("merged_into", KEY),  # null: a user; '': nobody's id; else the user whose the id is
    Column("also_parts", ARRAY(Integer), nullable=False),  # all by which their events may come
)

events = Table(
    "events",
    metadata,
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),  # unique with the source within each day's partition
    Column("received_at", INSTANT, nullable=False),  # partitioned by day of it
    Column("user_id", KEY, nullable=False),
    Column("type", Text, nullable=False),
    Column("name", Text),
    Column("timestamp", INSTANT, nullable=False),
    Column("anonymous_id", Text),
    Column("active", Boolean, nullable=False),
    Column("historical", Boolean, nullable=False),
    Column("flags", ARRAY(Text), nullable=False),
    Column("part", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("payload", JSON, nullable=False),  # json, not jsonb: the client's own bytes
)

log_horizon = Table(
    "log_horizon",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("held_since", INSTANT, nullable=False),  # from then on, events has all that was folded
    Column(
        "raised_at", INSTANT, nullable=False
    ),  # lease time; partitions are dropped a while after
)

transitions = Table(
    "transitions",
    metadata,
    Column("transition_id", Uuid, primary_key=True),
    Column("at", INSTANT, primary_key=True),  # event time; partitioned by month of it
    Column("user_id", KEY, nullable=False),
    Column("kind", Text, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),  # product time
    Column("reason", Text, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("historical", Boolean, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("retracted_at", INSTANT),  # product time; set: a later arrival contradicted it
    Column("retracted_because", Text),
)

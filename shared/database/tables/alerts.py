"""The tables of alerts: what fired, what was sent, and which transitions were already seen."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)
KEY = Text(collation="C")

# The machine's own side of an alert; what people do to it gets a table of its own.
alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("user_id", KEY, nullable=False),
    Column("summary", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("owner", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("transition_id", Uuid, nullable=False),  # what raised it
    Column("fired_at", INSTANT, nullable=False),  # event time
    Column("recorded_at", INSTANT, nullable=False),  # product time
    Column("resolved_at", INSTANT),
    Column("resolution", Text),
)

# The intent to tell someone, durable before anything is sent. Its times are lease time.
notifications = Table(
    "notifications",
    metadata,
    Column("notification_id", BigInteger, Identity(always=True), primary_key=True),
    Column("alert_id", Uuid, ForeignKey("alerts.alert_id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", INSTANT, nullable=False),
    Column("leased_until", INSTANT),
    Column("last_result", Text),
    Column("created_at", INSTANT, nullable=False),
    Column("settled_at", INSTANT),
)

seen_transitions = Table(
    "seen_transitions",
    metadata,
    Column("transition_id", Uuid, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("seen_at", INSTANT, nullable=False),  # product time
    Column("user_id", KEY, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", INSTANT, nullable=False),  # event time
)

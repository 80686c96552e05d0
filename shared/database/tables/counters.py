"""The segmenter's counters, and what was found when they were recounted."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    SmallInteger,
    Table,
    Text,
)

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)
KEY = Text(collation="C")

# One row: the time zone that decides what a day is.
product = Table(
    "product",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("zone", Text, nullable=False),
)

active_users = Table(
    "active_users",
    metadata,
    Column("period", KEY, primary_key=True),  # day, week, month
    Column("dimension", KEY, primary_key=True),  # all, channel, platform
    Column("start", Date, primary_key=True),  # the period's first day, in the product's zone
    Column("value", KEY, primary_key=True),  # '' for all
    Column("shard", SmallInteger, primary_key=True),
    Column("users", BigInteger, nullable=False),
    Column("new_users", BigInteger, nullable=False),  # whose first active day is in the period
)

retention = Table(
    "retention",
    metadata,
    Column("period", KEY, primary_key=True),  # day, week
    Column("dimension", KEY, primary_key=True),
    Column("cohort", Date, primary_key=True),  # the first active day, or its Monday
    Column("value", KEY, primary_key=True),
    Column("age", SmallInteger, primary_key=True),  # in periods: 0 to 400 days, 0 to 57 weeks
    Column("shard", SmallInteger, primary_key=True),
    Column("users", BigInteger, nullable=False),
)

lifecycle_flows = Table(
    "lifecycle_flows",
    metadata,
    Column("dimension", KEY, primary_key=True),
    Column("hour", INSTANT, primary_key=True),  # when the hour of the local clock began
    Column("value", KEY, primary_key=True),
    Column("before", KEY, primary_key=True),  # '' where a user came to be
    Column("after", KEY, primary_key=True),
    Column("shard", SmallInteger, primary_key=True),
    Column("transitions", BigInteger, nullable=False),
)

# The sums of the hours that begin in a month of UTC.
lifecycle_flow_months = Table(
    "lifecycle_flow_months",
    metadata,
    Column("dimension", KEY, primary_key=True),
    Column("month", Date, primary_key=True),
    Column("value", KEY, primary_key=True),
    Column("before", KEY, primary_key=True),
    Column("after", KEY, primary_key=True),
    Column("shard", SmallInteger, primary_key=True),
    Column("transitions", BigInteger, nullable=False),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("reconciliation_id", BigInteger, primary_key=True),
    Column("at", INSTANT, nullable=False),  # product time
    Column("users_checked", Integer, nullable=False),
    Column("users_skipped", Integer, nullable=False),
    Column("users_differing", Integer, nullable=False),
    Column("cells_checked", Integer, nullable=False),
    Column("cells_differing", Integer, nullable=False),
)

reconciliation_differences = Table(
    "reconciliation_differences",
    metadata,
    Column("difference_id", BigInteger, primary_key=True),
    Column("reconciliation_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # user, active_users, retention, lifecycle_flows
    Column("subject", Text, nullable=False),  # the user's id, or the cell's key
    Column("field", Text, nullable=False),
    Column("stored", Text),
    Column("recounted", Text),
)

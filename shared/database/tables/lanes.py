"""Protocol state of the lanes: who folds which partition, and how far. Written by every worker,
each in its own groups only (row-level security).
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)

consumer_worker = Table(
    "consumer_worker",
    metadata,
    Column("grp", Text, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("alive_until", INSTANT, nullable=False),  # lease time: the database's own clock
    Column("leaving", Boolean, nullable=False),
)

consumer_partition = Table(
    "consumer_partition",
    metadata,
    Column("grp", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text),
    Column("next_offset", BigInteger, nullable=False),
    Column("topic_incarnation", Text),
    Column("claimed_at", INSTANT),
    Column(
        "watermark", INSTANT
    ),  # product time up to which all is folded, and all that is due swept
    Column("folded_until", INSTANT),  # product time up to which all that was received is folded
    Column("end_offset", BigInteger),  # the log's end when the broker was last asked
    Column("folded_at", INSTANT),  # product time of the last commit
    Column("frozen_reason", Text),  # set: no lane runs until an operator clears it
)

batch_ledger = Table(
    "batch_ledger",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("grp", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),
    Column("written_at", INSTANT, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("grp", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),  # product time
    Column("number", Integer, nullable=False),
    Column("packed", LargeBinary, nullable=False),  # MessagePack: a list of [key, value]
    Column("settled", ARRAY(Integer), nullable=False),  # places from 0 that wait no more
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("dead_letter_id", Text(collation="C"), primary_key=True),
    Column("code", Text, nullable=False),
    Column("field", Text),
    Column("reason", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("source", Text),
    Column("topic", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("refused_at", INSTANT, nullable=False),  # product time
)

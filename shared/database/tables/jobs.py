"""Background jobs: asked for by the api and the segmenter, done by the segmenter."""

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.tables import metadata

INSTANT = DateTime(timezone=True)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting, running, done, failed, cancelled
    Column("argument", JSONB, nullable=False),
    Column("progress_done", BigInteger, nullable=False),
    Column("progress_total", BigInteger),  # null: not known yet
    Column("cursor", Text),  # where the next transaction goes on; the kind's own
    Column("result", JSONB),  # whole once the job is done
    Column("error", Text),
    Column("requested_by", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),  # product time
    Column("updated_at", INSTANT, nullable=False),  # product time
    Column("leased_until", INSTANT),  # lease time
    Column("worker", Text),
)

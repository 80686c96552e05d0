"""The event log's upkeep: partitions made ahead, old days dropped, and how far back the log reaches."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0002_pre"
down_revision = "0001_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    connection: Any = op.get_bind().connection.dbapi_connection
    for part in (
        "lanes",
        "event_log",
        "users",
        "funnels",
        "jobs",
        "policies",
        "counters",
        "identity",
        "rebuild",
    ):
        script = Path(__file__).with_name(f"v0002_{part}.sql").read_text()
        # A whole script at once: the driver's prepared statements take one command each.
        connection.run_async(lambda driver, script=script: driver.execute(script))

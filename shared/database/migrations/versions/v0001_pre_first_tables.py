"""First tables: lane state, users, event log, transitions, alerts; roles and their rights."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0001_pre"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    connection: Any = op.get_bind().connection.dbapi_connection
    for part in ("lanes", "segmenter", "alerts", "rights"):
        script = Path(__file__).with_name(f"v0001_{part}.sql").read_text()
        # A whole script at once: the driver's prepared statements take one command each.
        connection.run_async(lambda driver, script=script: driver.execute(script))

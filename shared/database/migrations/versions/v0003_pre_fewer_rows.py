"""What is written by the thousand takes fewer rows: the outbox holds many messages in one row.

And a transition is in two indexes, where it was in three.
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0003_pre"
down_revision = "0002_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    connection: Any = op.get_bind().connection.dbapi_connection
    # In the order in which lanes lock these tables: beside lanes at work the other one ends in a deadlock.
    for part in ("history", "outbox"):
        script = Path(__file__).with_name(f"v0003_{part}.sql").read_text()
        # A whole script at once: the driver's prepared statements take one command each.
        connection.run_async(lambda driver, script=script: driver.execute(script))

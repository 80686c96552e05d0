"""What is written by the thousand takes fewer rows: the outbox holds many messages in one row.

And a transition is in two indexes, where it was in three.
"""

from shared.database.migrations.scripts import run_scripts

revision = "0003_pre"
down_revision = "0002_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In the order in which lanes lock these tables: beside lanes at work the other one ends in a deadlock.
    run_scripts("v0003", "history", "outbox")

"""First tables: lane state, users, event log, transitions, alerts; roles and their rights."""

from shared.database.migrations.scripts import run_scripts

revision = "0001_pre"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_scripts("v0001", "lanes", "segmenter", "alerts", "rights")

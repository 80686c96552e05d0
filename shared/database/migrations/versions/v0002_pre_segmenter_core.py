"""The event log's upkeep: partitions made ahead, old days dropped, and how far back the log reaches."""

from shared.database.migrations.scripts import run_scripts

revision = "0002_pre"
down_revision = "0001_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_scripts(
        "v0002",
        "lanes",
        "event_log",
        "users",
        "funnels",
        "jobs",
        "policies",
        "counters",
        "identity",
        "rebuild",
    )

"""Jobs end and are forgotten, channels are so many and no more, and a rebuild has funnels beside those that are stored."""

from shared.database.migrations.scripts import run_scripts

revision = "0004_pre"
down_revision = "0003_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_scripts("v0004", "cancel", "forget", "channels", "rebuild")

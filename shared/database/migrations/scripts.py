"""What every migration does: run its SQL scripts, whole, and give up where others hold the tables for long."""

from pathlib import Path
from typing import Any

from alembic import op

_VERSIONS = Path(__file__).with_name("versions")


def run_scripts(version: str, *parts: str) -> None:
    """Run `<version>_<part>.sql` of each part, in their order."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    connection: Any = op.get_bind().connection.dbapi_connection
    for part in parts:
        script = (_VERSIONS / f"{version}_{part}.sql").read_text()
        # A whole script at once: the driver's prepared statements take one command each.
        connection.run_async(lambda driver, script=script: driver.execute(script))

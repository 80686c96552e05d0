"""Values written into statements. Only several statements in one message need it: those take no parameters."""

from datetime import datetime


def literal(value: str | int | datetime | None) -> str:
    """Return a value as SQL.

    A text is quoted as the standard says (`standard_conforming_strings`, which is Postgres's default), and an
    instant must be aware.
    """
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f"timestamptz '{value.isoformat()}'"
    if isinstance(value, int):
        return str(int(value))
    quoted = value.replace("'", "''")
    return f"'{quoted}'"

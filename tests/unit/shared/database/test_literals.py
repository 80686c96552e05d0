"""Values within statements: nothing that a text says is taken for SQL."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.database.literals import literal


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (7, "7"),
        (-7, "-7"),
        ("events", "'events'"),
        ("o'clock", "'o''clock'"),
        ("'; DROP TABLE users; --", "'''; DROP TABLE users; --'"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "timestamptz '2026-03-01T12:00:00+00:00'"),
        (
            datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
            "timestamptz '2026-03-01T12:00:00.000005+02:00'",
        ),
    ],
)
def test_a_value_is_written_as_sql(value: str | int | datetime | None, written: str) -> None:
    assert literal(value) == written

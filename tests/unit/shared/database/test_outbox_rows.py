"""What one row of the outbox holds."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.database.outbox import ROW_BYTES, ROW_MESSAGES, OutboxMessage, in_rows

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESSAGES = st.builds(
    OutboxMessage,
    topic=st.sampled_from(["one", "two"]),
    key=st.binary(max_size=3),
    # A third of what a row may hold, and more than it may.
    value=st.sampled_from([b"", b"small", bytes(ROW_BYTES // 3), bytes(ROW_BYTES + 1)]),
    at=st.sampled_from([NOON, NOON.replace(hour=13)]),
)


@given(st.lists(MESSAGES))
def test_rows_hold_all_messages_in_their_order(messages: list[OutboxMessage]) -> None:
    assert [each for row in in_rows(messages) for each in row] == messages


@given(st.lists(MESSAGES))
def test_a_row_is_of_one_topic_and_instant_and_small_unless_a_message_is_not(
    messages: list[OutboxMessage],
) -> None:
    for row in in_rows(messages):
        assert len({(each.topic, each.at) for each in row}) == 1
        size = sum(len(each.key) + len(each.value) for each in row)
        assert size <= ROW_BYTES or len(row) == 1


@given(st.integers(0, 3 * ROW_MESSAGES))
def test_many_small_messages_take_as_few_rows_as_they_can(number: int) -> None:
    messages = [OutboxMessage("t", b"k", b"v", NOON)] * number

    rows = [len(row) for row in in_rows(messages)]

    assert all(size == ROW_MESSAGES for size in rows[:-1])
    assert all(0 < size <= ROW_MESSAGES for size in rows)
    assert sum(rows) == number

"""What the event log can't tell from a repeat any more is refused, and nothing else is."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.inbound.log_horizon import judge_age
from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.ports import Folding
from shared.contracts.events import EventEnvelope
from shared.kafka.records import Record
from shared.vocabulary import EventType

HORIZON = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def folding(received_at: datetime, offset: int = 7) -> Folding:
    event = EventEnvelope(
        source="web",
        event_id=f"e{offset}",
        user_id="u",
        type=EventType.TRACK,
        timestamp=received_at,
        received_at=received_at,
    )
    return Folding(event, offset)


def record(offset: int = 7) -> Record:
    return Record(offset, 0, None, b"")


def test_a_log_that_was_never_shortened_refuses_nothing() -> None:
    events = [folding(datetime(1970, 1, 1, tzinfo=UTC))]

    judged = judge_age(events, [record()], horizon=None)

    assert (judged.kept, judged.refused) == (events, ())


def test_an_event_is_kept_from_the_instant_on_at_which_the_log_holds_its_whole_window() -> None:
    """Its first sending may lie a window back, to the microsecond."""
    first = folding(HORIZON + DUPLICATE_WINDOW)

    assert judge_age([first], [record()], horizon=HORIZON).kept == [first]


def test_an_event_older_than_that_is_refused_with_field_and_reason() -> None:
    late = folding(HORIZON + DUPLICATE_WINDOW - MICROSECOND)

    judged = judge_age([late], [record()], horizon=HORIZON)

    [refused] = judged.refused
    assert judged.kept == []
    assert (refused.record, refused.code, refused.field) == (
        record(),
        "older_than_log",
        "received_at",
    )
    assert refused.reason.startswith(
        "lies before 2026-01-09: the event log holds what came from 2026-01-01 on"
    )


@given(st.lists(st.integers(min_value=-400, max_value=400), max_size=30))
def test_each_event_is_either_kept_or_refused_in_the_logs_order(hours: list[int]) -> None:
    turn = HORIZON + DUPLICATE_WINDOW
    events = [
        folding(turn + timedelta(hours=each), offset) for offset, each in enumerate(hours, start=3)
    ]
    # Records that are no events were refused before; they are nobody's.
    records = [record(offset) for offset in range(3 + len(hours) + 2)]

    judged = judge_age(events, records, horizon=HORIZON)

    assert [each.offset for each in judged.kept] == [
        offset for offset, each in enumerate(hours, start=3) if each >= 0
    ]
    assert [each.record.offset for each in judged.refused] == [
        offset for offset, each in enumerate(hours, start=3) if each < 0
    ]

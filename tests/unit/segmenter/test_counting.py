"""Users are counted together or one by one, and add the same."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.counting import count_change, count_changes
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Arrivals, Change, begin, pass_time

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY))
CALENDAR = Calendar(UTC)

# Few days and origins, so that many begin alike.
births = st.builds(
    lambda days, origin: begin(
        "u",
        Arrivals(
            [START + day * DAY for day in days],
            START,
            3,
            [(START + day * DAY).toordinal() for day in days],
            origin,
        ),
        POLICIES,
    ),
    st.lists(st.sampled_from((0, 1, 3, 45)), min_size=1, max_size=3),
    st.sampled_from((Origin(), Origin("wechat", "ios"))),
)
passed = st.builds(lambda change: pass_time(change, START + 10 * DAY, POLICIES), births)
aged = st.builds(
    lambda change: pass_time(Change(change.profile, change.profile), START + 60 * DAY, POLICIES),
    births,
)
gone = st.builds(
    lambda change: Change(change.profile, change.profile, retracted=change.written, is_gone=True),
    births,
)


@given(st.lists(st.one_of(births, passed, aged, gone), max_size=12))
def test_users_who_begin_alike_are_counted_as_one_by_one(changes: list[Change]) -> None:
    together, alone = Cells(), Cells()

    count_changes(changes, policies=POLICIES, calendar=CALENDAR, into=together)

    for change in changes:
        count_change(change, policies=POLICIES, calendar=CALENDAR, into=alone)
    assert nonzero(together) == nonzero(alone)


def nonzero(cells: Cells) -> list[dict[object, int]]:
    tables = (cells.active, cells.begun, cells.retained, cells.flows)
    return [{key: count for key, count in table.items() if count} for table in tables]

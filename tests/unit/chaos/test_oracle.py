"""The oracle of the chaos campaign is fast; it says the same as the one that is easy to believe."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.oracle import FIRST, Rules, history
from tests.unit.segmenter import oracle

BEGINNING = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

instants = st.builds(lambda half: BEGINNING + half * DAY / 2, st.integers(0, 240))
spans = st.integers(1, 40).map(lambda days: days * DAY)
rules = st.builds(
    lambda new, silent, more, returned: Rules(new, silent, silent + more, returned),
    spans, spans, spans, spans,
)  # fmt: skip


def plainly(given_rules: Rules) -> oracle.Thresholds:
    return oracle.Thresholds(*given_rules.spans())


@given(
    st.lists(instants, min_size=1, max_size=8),
    st.lists(st.tuples(instants, rules), max_size=3, unique_by=lambda law: law[0]),
    instants,
)
def test_both_oracles_agree_whatever_is_done_and_whichever_policies_hold(
    done: list[datetime], later: list[tuple[datetime, Rules]], until: datetime
) -> None:
    laws = sorted(later, key=lambda law: law[0])
    all_laws = [(BEGINNING, FIRST), *laws]

    found = [(each.at, each.before, each.after) for each in history(done, until=until, laws=laws)]

    plain = [(since, plainly(each)) for since, each in all_laws]
    assert found == oracle.history_under(done, plain, until)

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.domain.alert import Alert, Change, Resolution
from services.alerts.domain.notice import Step
from services.alerts.usecases.warn_of_churn import Warned, forget_old, warn_of_churn
from shared.vocabulary import AlertState, Lifecycle
from tests.unit.alerts.builders import NOW, change, churned, day, retraction, returned
from tests.unit.alerts.fakes import FakeAlertBook, FakeDatabase


async def warn(
    database: FakeDatabase, *changes: Change, channels: Sequence[str] = ("webhook",)
) -> Warned:
    return await warn_of_churn(changes, book=FakeAlertBook(database), channels=channels, now=NOW)


def stored(database: FakeDatabase) -> list[Alert]:
    return list(database.alerts.values())


def steps(database: FakeDatabase) -> list[Step]:
    return [row.notice.step for row in database.rows]


async def test_a_churn_leaves_an_alert_and_the_intent_to_tell() -> None:
    database = FakeDatabase()

    warned = await warn(database, churned(day(30)))

    assert warned.changed == stored(database)
    assert stored(database)[0].firing
    assert steps(database) == [Step.FIRED]


async def test_without_a_channel_the_alert_is_kept_and_nobody_is_told() -> None:
    database = FakeDatabase()

    await warn(database, churned(day(30)), channels=())
    await warn(database, returned(day(40)), channels=())

    assert stored(database)[0].resolution is Resolution.USER_RETURNED
    assert steps(database) == []


async def test_a_repeat_changes_nothing() -> None:
    database = FakeDatabase()
    await warn(database, churned(day(30)), churned(day(30)))

    again = await warn(database, churned(day(30)))

    assert again == Warned()
    assert len(stored(database)) == len(steps(database)) == 1


async def test_a_repeat_forgotten_long_ago_does_not_reopen_its_alert() -> None:
    database = FakeDatabase()
    await warn(database, churned(day(30)), returned(day(40)))
    await forget_old(
        FakeAlertBook(database), now=NOW + timedelta(days=400), seen_for=timedelta(days=28)
    )
    assert database.seen == {}

    await warn(database, churned(day(30)))

    assert [alert.state for alert in stored(database)] == [AlertState.RESOLVED]


async def test_a_churn_and_the_return_in_one_batch_tell_both_in_order() -> None:
    database = FakeDatabase()

    warned = await warn(database, churned(day(30)), returned(day(40)))

    assert [alert.state for alert in warned.changed] == [AlertState.FIRING, AlertState.RESOLVED]
    assert [alert.state for alert in stored(database)] == [AlertState.RESOLVED]
    assert steps(database) == [Step.FIRED, Step.RESOLVED]


async def test_a_return_tells_nobody_who_was_never_told_of_the_churn() -> None:
    database = FakeDatabase()
    await warn(database, churned(day(30)))
    database.rows[0].state = "given_up"

    await warn(database, returned(day(40)))

    assert not stored(database)[0].firing
    assert steps(database) == [Step.FIRED]


async def test_a_user_who_churns_again_gets_another_alert() -> None:
    database = FakeDatabase()

    await warn(database, churned(day(30)), returned(day(40)), churned(day(80)))

    assert [alert.firing for alert in stored(database)] == [False, True]


async def test_users_do_not_disturb_each_other() -> None:
    database = FakeDatabase()

    await warn(database, churned(day(30), user="a"), churned(day(31), user="b"))
    await warn(database, returned(day(40), user="a"))

    assert {alert.user_id: alert.firing for alert in stored(database)} == {"a": False, "b": True}


async def test_a_retraction_resolves_the_alert_with_that_reason() -> None:
    database = FakeDatabase()
    await warn(database, churned(day(30)))

    await warn(database, retraction(churned(day(30))))

    assert stored(database)[0].resolution is Resolution.RETRACTED
    assert steps(database) == [Step.FIRED, Step.RESOLVED]


async def test_a_churn_retracted_before_it_arrives_warns_nobody() -> None:
    database = FakeDatabase()

    await warn(database, retraction(churned(day(30))))
    await warn(database, churned(day(30)))

    assert stored(database) == []


async def test_a_churn_retracted_in_its_own_batch_warns_nobody() -> None:
    database = FakeDatabase()

    await warn(database, churned(day(30)), retraction(churned(day(30))))

    assert stored(database) == []
    assert steps(database) == []


async def test_a_return_that_was_retracted_does_not_resolve_the_alert() -> None:
    database = FakeDatabase()
    await warn(database, churned(day(30)))

    await warn(database, returned(day(40)), retraction(returned(day(40))))

    assert stored(database)[0].firing


async def test_a_corrected_churn_raises_its_alert_whichever_message_comes_first() -> None:
    # A late event moved the last activity: the churn of day 30 became one of day 35.
    old, new = churned(day(30)), churned(day(35))
    for order in ([retraction(old), new], [new, retraction(old)]):
        database = FakeDatabase()
        await warn(database, old)

        for one in order:
            await warn(database, one)

        assert [(a.fired_at, a.firing) for a in stored(database)] == [
            (day(30), False),
            (day(35), True),
        ]


async def test_a_churn_that_comes_after_news_of_the_return_warns_nobody() -> None:
    churn, back = churned(day(30)), returned(day(31))
    apart, together = FakeDatabase(), FakeDatabase()

    await warn(apart, back)
    await warn(apart, churn)
    await warn(together, back, churn)

    assert stored(apart) == stored(together) == []
    assert steps(apart) == steps(together) == []


async def test_a_churn_after_the_last_return_raises_its_alert_whatever_others_did() -> None:
    database = FakeDatabase()
    await warn(database, returned(day(31)), returned(day(90), user="other"))

    await warn(database, churned(day(61)))

    assert [alert.firing for alert in stored(database)] == [True]


@pytest.mark.parametrize("together", [False, True])
async def test_a_return_that_was_taken_back_keeps_no_churn_quiet(*, together: bool) -> None:
    database = FakeDatabase()
    mistaken, churn = returned(day(40)), churned(day(35))
    await warn(database, mistaken)

    for changes in (
        [[retraction(mistaken), churn]] if together else [[retraction(mistaken)], [churn]]
    ):
        await warn(database, *changes)

    assert [alert.firing for alert in stored(database)] == [True]


async def test_old_news_is_reported_and_raises_nothing() -> None:
    database = FakeDatabase()

    warned = await warn(database, churned(day(30), historical=True))

    assert len(warned.too_old) == 1
    assert stored(database) == []


HISTORY = st.lists(
    st.builds(
        change,
        st.sampled_from([Lifecycle.CHURNED, Lifecycle.RETURNED]),
        st.integers(0, 60).map(day),
        user=st.sampled_from(["a", "b"]),
        historical=st.booleans(),
    ).flatmap(lambda one: st.sampled_from([one, retraction(one)])),
    max_size=15,
)


@given(HISTORY)
async def test_delivering_everything_twice_comes_to_the_same(changes: list[Change]) -> None:
    once, twice = FakeDatabase(), FakeDatabase()
    for one in changes:
        await warn(once, one)

    for one in changes:
        await warn(twice, one)
        await warn(twice, one)
    await warn(twice, *changes)

    assert twice.alerts == once.alerts
    assert [row.notice for row in twice.rows] == [row.notice for row in once.rows]


@given(HISTORY)
async def test_no_user_ever_has_two_firing_alerts(changes: list[Change]) -> None:
    database = FakeDatabase()

    await warn(database, *changes)

    firing = [alert.user_id for alert in stored(database) if alert.firing]
    assert len(firing) == len(set(firing))

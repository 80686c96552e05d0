from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.alerts
from services.alerts.domain.alert import (
    RULES,
    Alert,
    Change,
    Resolution,
    judge,
    raise_alert,
    resolve,
)
from services.alerts.domain.notice import Step, delivery_id_of, notice
from shared.vocabulary import (
    AlertKind,
    AlertState,
    Lifecycle,
    Severity,
    TransitionReason,
    TransitionStatus,
)
from tests.unit.alerts.builders import NOW, change, churned, day, retraction, returned

PLAYBOOKS = Path(next(iter(services.alerts.__path__))) / "playbooks"


def firing(of: Change) -> Alert:
    return raise_alert(of, now=NOW)


def test_a_churn_raises_an_alert_that_says_what_who_and_what_to_do() -> None:
    verdict = judge(churned(day(30)), firing=None, warned_of=False, now=NOW)

    alert = verdict.raised
    assert alert is not None
    assert alert.kind is AlertKind.USER_CHURNED
    assert alert.state is AlertState.FIRING
    assert alert.severity is Severity.WARNING
    assert (alert.owner, alert.playbook) == ("retention", "user_churned")
    assert (alert.fired_at, alert.recorded_at) == (day(30), NOW)
    assert alert.summary == (
        "User u-1 has churned: no activity for 30 days, last seen on 2026-01-01."
    )
    assert alert.evidence["last_seen"] == "2026-01-01T00:00:00+00:00"
    assert alert.evidence["policy_version"] == 1


def test_a_churn_without_evidence_is_told_without_numbers() -> None:
    bare = change(Lifecycle.CHURNED, day(30))

    assert firing(bare).summary == "User u-1 has churned."


def test_a_historical_churn_raises_nothing() -> None:
    verdict = judge(churned(day(30), historical=True), firing=None, warned_of=False, now=NOW)

    assert verdict.raised is None
    assert verdict.too_old


def test_a_churn_that_was_warned_of_before_raises_nothing() -> None:
    verdict = judge(churned(day(30)), firing=None, warned_of=True, now=NOW)

    assert verdict.raised is None


@pytest.mark.parametrize("after", [one for one in Lifecycle if one is not Lifecycle.CHURNED])
def test_no_other_lifecycle_raises_an_alert(after: Lifecycle) -> None:
    assert judge(change(after, day(30)), firing=None, warned_of=False, now=NOW).raised is None


@pytest.mark.parametrize("historical", [False, True])
def test_a_return_resolves_the_alert_even_when_it_is_old_news(*, historical: bool) -> None:
    alert = firing(churned(day(30)))

    verdict = judge(
        returned(day(40), historical=historical), firing=alert, warned_of=False, now=NOW
    )

    assert verdict.resolved == resolve(alert, at=day(40), resolution=Resolution.USER_RETURNED)
    assert verdict.raised is None


def test_a_policy_that_calls_the_user_something_else_resolves_the_alert_and_says_so() -> None:
    alert = firing(churned(day(30)))
    changed = change(
        Lifecycle.SILENT, day(40), reason=TransitionReason.POLICY_CHANGED, historical=True
    )

    verdict = judge(changed, firing=alert, warned_of=False, now=NOW)

    assert verdict.resolved == resolve(alert, at=day(40), resolution=Resolution.POLICY_CHANGED)
    assert verdict.raised is None


def test_a_churn_that_only_a_policy_made_warns_nobody() -> None:
    by_policy = churned(day(40), reason=TransitionReason.POLICY_CHANGED, historical=True)

    verdict = judge(by_policy, firing=None, warned_of=False, now=NOW)

    assert (verdict.raised, verdict.resolved, verdict.too_old) == (None, None, True)


def test_a_change_from_before_the_churn_leaves_the_alert_firing() -> None:
    alert = firing(churned(day(30)))

    verdict = judge(change(Lifecycle.SILENT, day(7)), firing=alert, warned_of=False, now=NOW)

    assert (verdict.resolved, verdict.raised) == (None, None)


def test_a_second_churn_resolves_the_first_alert_and_raises_another() -> None:
    alert = firing(churned(day(30)))

    verdict = judge(churned(day(90)), firing=alert, warned_of=False, now=NOW)

    assert verdict.resolved is not None
    assert verdict.resolved.resolution is Resolution.USER_RETURNED
    assert verdict.raised is not None
    assert verdict.raised.alert_id != alert.alert_id


def test_an_earlier_churn_does_not_disturb_a_firing_alert() -> None:
    alert = firing(churned(day(90)))

    verdict = judge(churned(day(30)), firing=alert, warned_of=False, now=NOW)

    assert (verdict.resolved, verdict.raised) == (None, None)


def test_a_retraction_of_what_raised_the_alert_resolves_it() -> None:
    cause = churned(day(30))

    verdict = judge(retraction(cause), firing=firing(cause), warned_of=False, now=NOW)

    assert verdict.resolved is not None
    assert verdict.resolved.resolution is Resolution.RETRACTED
    assert verdict.resolved.resolved_at == NOW


def test_a_retraction_of_something_else_leaves_the_alert_firing() -> None:
    alert = firing(churned(day(30)))

    verdict = judge(retraction(returned(day(40))), firing=alert, warned_of=False, now=NOW)

    assert (verdict.resolved, verdict.raised) == (None, None)


CHANGES = st.builds(
    change,
    st.sampled_from(Lifecycle),
    st.integers(0, 100).map(day),
    status=st.sampled_from(TransitionStatus),
    historical=st.booleans(),
)


@given(st.lists(CHANGES, max_size=30))
def test_whatever_comes_a_user_has_at_most_one_alert_firing_and_none_ends_before_it_began(
    changes: list[Change],
) -> None:
    open_now: Alert | None = None
    for one in changes:
        verdict = judge(one, firing=open_now, warned_of=False, now=NOW)
        if verdict.resolved is not None:
            assert open_now is not None
            assert verdict.resolved.alert_id == open_now.alert_id
            assert verdict.resolved.resolved_at is not None
            assert verdict.resolved.resolved_at >= verdict.resolved.fired_at
            open_now = None
        if verdict.raised is not None:
            assert open_now is None
            assert one.churned
            assert one.written
            assert not one.historical
            open_now = verdict.raised


@given(CHANGES, CHANGES)
def test_judging_is_a_function_of_its_arguments(one: Change, other: Change) -> None:
    alert = firing(other)

    first = judge(one, firing=alert, warned_of=False, now=NOW)

    assert first == judge(one, firing=alert, warned_of=False, now=NOW)


def test_each_kind_of_alert_has_a_playbook_with_signs_owner_steps_and_rollback() -> None:
    assert set(RULES) == set(AlertKind)
    for kind, rule in RULES.items():
        page = (PLAYBOOKS / f"{rule.playbook}.md").read_text()
        for heading in ("## Signs", "## Steps", "## Rollback"):
            assert heading in page
        assert f"| kind | `{kind}` |" in page
        assert f"| owner | {rule.owner} |" in page
        assert f"| severity | {rule.severity} |" in page


def test_a_notice_tells_the_whole_alert_in_plain_json_values() -> None:
    alert = resolve(firing(churned(day(30))), at=day(40), resolution=Resolution.USER_RETURNED)

    body = notice(alert, Step.RESOLVED, "webhook").body

    assert body["type"] == "alert.resolved"
    told = body["alert"]
    assert isinstance(told, dict)
    assert told["fired_at"] == "2026-01-31T00:00:00Z"
    assert told["resolved_at"] == "2026-02-10T00:00:00Z"
    assert told["resolution"] == "user_returned"


def test_each_notice_has_a_delivery_id_of_its_own_that_never_changes() -> None:
    alert = firing(churned(day(30)))
    other = replace(alert, alert_id=firing(churned(day(31))).alert_id)
    ids = [delivery_id_of(one.alert_id, step, "webhook") for one in (alert, other) for step in Step]

    assert len(set(ids)) == 4
    assert delivery_id_of(alert.alert_id, Step.FIRED, "webhook") == ids[0]

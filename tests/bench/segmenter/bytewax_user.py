"""One user in Bytewax's memory: what their activity changes, and the rows that tell of it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from bytewax.operators import StatefulBatchLogic

NEW_FOR = RETURNED_FOR = SILENT_AFTER = timedelta(days=7)
CHURNED_AFTER = timedelta(days=30)


class State(NamedTuple):
    """What is known of a user."""

    first_seen: datetime
    last_seen: datetime
    span_start: datetime
    lifecycle: str
    since: datetime
    events: int


class Transition(NamedTuple):
    """One change of lifecycle."""

    at: datetime
    before: str | None
    after: str
    reason: str


class Moved(NamedTuple):
    """What a batch did to a user."""

    rows: list[str]
    state: State
    transitions: list[Transition]


class UserLogic(StatefulBatchLogic):  # type: ignore[misc]  # not installed here
    """Keeps one user's state; called once for all of a user's events that came together."""

    __slots__ = ("_state",)

    def __init__(self, resumed: State | None) -> None:
        self._state = resumed

    def on_batch(self, values: list[tuple[list[str], list[str]]]) -> tuple[Iterable[Moved], bool]:
        state, transitions, rows = self._state, list[Transition](), list[str]()
        for more, instants in values:
            rows += more
            for text in instants:
                state, step = step_of(state, datetime.fromisoformat(text))
                if step is not None:
                    transitions.append(step)
        assert state is not None
        self._state = state
        return [Moved(rows, state, transitions)], StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Ask to be woken when silence, or a longer one, would begin."""
        return None if self._state is None else deadline_of(self._state)

    def on_notify(self) -> tuple[Iterable[Moved], bool]:
        state = self._state
        assert state is not None
        at = deadline_of(state)
        if at is None:
            return [], StatefulBatchLogic.RETAIN
        after = "churned" if state.lifecycle == "silent" else "silent"
        self._state = state._replace(lifecycle=after, since=at)
        step = Transition(at, state.lifecycle, after, "time_passed")
        return [Moved([], self._state, [step])], StatefulBatchLogic.RETAIN

    def snapshot(self) -> State | None:
        return self._state


def step_of(state: State | None, at: datetime) -> tuple[State, Transition | None]:
    """Return the user after one more event, and the change that it made, if any."""
    if state is None:
        return State(at, at, at, "new", at, 1), Transition(at, None, "new", "first_activity")
    if at <= state.last_seen:
        return state._replace(events=state.events + 1), None
    quiet = at - state.last_seen
    after, reason = _after(state, at, quiet)
    start = at if quiet >= SILENT_AFTER else state.span_start
    if after == state.lifecycle:
        return state._replace(last_seen=at, span_start=start, events=state.events + 1), None
    moved = State(state.first_seen, at, start, after, at, state.events + 1)
    return moved, Transition(at, state.lifecycle, after, reason)


def deadline_of(state: State) -> datetime | None:
    """Return when time alone changes the user next."""
    if state.lifecycle == "churned":
        return None
    return state.last_seen + (CHURNED_AFTER if state.lifecycle == "silent" else SILENT_AFTER)


def _after(state: State, at: datetime, quiet: timedelta) -> tuple[str, str]:
    if quiet >= CHURNED_AFTER:
        return "returned", "returned_after_churn"
    if state.lifecycle == "new" and at - state.first_seen < NEW_FOR:
        return "new", ""
    if state.lifecycle == "returned" and at - state.since < RETURNED_FOR:
        return "returned", ""
    return "active", "activity_resumed" if quiet >= SILENT_AFTER else "time_passed"


def user_line(user_id: str, state: State, now: str) -> str:
    """Return a user's row as the text of COPY."""
    first, last, start, since = (
        each.isoformat()
        for each in (state.first_seen, state.last_seen, state.span_start, state.since)
    )
    deadline = (state.last_seen + SILENT_AFTER).isoformat()
    return (
        f"{user_id}\t0\t{first}\t{last}\t{start}\t{{}}\t{state.lifecycle}\t{since}\t{deadline}\tsilent"
        f"\t{state.events}\t{last}\t1\t0\t{now}\n"
    )


def transition_line(user_id: str, step: Transition, now: str) -> str:
    """Return a transition's row as the text of COPY."""
    before = r"\N" if step.before is None else step.before
    return (
        f"{uuid4()}\t{step.at.isoformat()}\t{user_id}\tlifecycle\t{before}\t{step.after}\t{now}"
        f"\t{step.reason}\t1\tf\t{{}}\n"
    )

"""One user in Bytewax's memory: what their activity changes, and the rows that tell of it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from bytewax.operators import StatefulBatchLogic
from msgspec import structs

NEW_FOR = RETURNED_FOR = SILENT_AFTER = timedelta(days=7)
CHURNED_AFTER = timedelta(days=30)


class State(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is known of a user."""

    first_seen: datetime
    last_seen: datetime
    span_start: datetime
    lifecycle: str
    since: datetime
    events: int


_packed = msgspec.msgpack.Encoder().encode
_unpacked = msgspec.msgpack.Decoder(State).decode


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

    def __init__(self, resumed: bytes | None) -> None:
        self._state = None if resumed is None else _unpacked(resumed)

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
        after = _after_silence(state)
        self._state = structs.replace(state, lifecycle=after, since=at)
        step = Transition(at, state.lifecycle, after, "time_passed")
        return [Moved([], self._state, [step])], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes | None:
        """Return the state in few bytes: Bytewax pickles what it is given, and bytes cost least."""
        return None if self._state is None else _packed(self._state)


def step_of(state: State | None, at: datetime) -> tuple[State, Transition | None]:
    """Return the user after one more event, and the change that it made, if any."""
    if state is None:
        return State(at, at, at, "new", at, 1), Transition(at, None, "new", "first_activity")
    if at <= state.last_seen:
        return _once_more(state, state.last_seen, state.span_start), None
    quiet = at - state.last_seen
    after, reason = _after(state, at, quiet)
    start = at if quiet >= SILENT_AFTER else state.span_start
    if after == state.lifecycle:
        return _once_more(state, at, start), None
    moved = State(state.first_seen, at, start, after, at, state.events + 1)
    return moved, Transition(at, state.lifecycle, after, reason)


def deadline_of(state: State) -> datetime | None:
    """Return when time alone changes the user next."""
    if state.lifecycle == "churned":
        return None
    return state.last_seen + (CHURNED_AFTER if state.lifecycle == "silent" else SILENT_AFTER)


def _after_silence(state: State) -> str:
    return "churned" if state.lifecycle == "silent" else "silent"


def _once_more(state: State, seen: datetime, start: datetime) -> State:
    return State(state.first_seen, seen, start, state.lifecycle, state.since, state.events + 1)


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
    due = deadline_of(state)
    deadline = r"\N\t\N" if due is None else f"{due.isoformat()}\t{_after_silence(state)}"
    return (
        f"{user_id}\t0\t{first}\t{last}\t{start}\t{{}}\t{state.lifecycle}\t{since}\t{deadline}"
        f"\t{state.events}\t{last}\t1\t0\t{now}\n"
    )


def transition_line(user_id: str, step: Transition, now: str) -> str:
    """Return a transition's row as the text of COPY.

    Its id follows from what it says, so that what is replayed after a crash has the same one.
    """
    at = step.at.isoformat()
    name = f"{user_id}\t{at}\t{step.after}".encode()
    before = r"\N" if step.before is None else step.before
    return (
        f"{blake2b(name, digest_size=16).hexdigest()}\t{at}\t{user_id}\tlifecycle\t{before}\t{step.after}\t{now}"
        f"\t{step.reason}\t1\tf\t{{}}\n"
    )

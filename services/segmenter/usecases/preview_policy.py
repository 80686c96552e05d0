"""Count what a policy would make of users, some at a time, before it is activated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.preview import moved
from services.segmenter.domain.profile import Profile, hides_silences
from services.segmenter.usecases.ports import Store
from shared.errors import PermanentError
from shared.vocabulary import Lifecycle

SAMPLE = 20


class PreviewOvertaken(PermanentError):
    """Another policy became the active one: what was counted says nothing about it."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which policy is looked at, in place of which active one, as if activated at which instant."""

    version: int
    against: int
    at: datetime


class Matrix:
    """How many users would stand where, by where they stand; with some of their ids."""

    def __init__(self, cells: Sequence[Mapping[str, Any]] = ()) -> None:
        self._cells = {
            (Lifecycle(each["before"]), Lifecycle(each["after"])): (
                int(each["users"]),
                list(each["sample"]),
            )
            for each in cells
        }

    def add(self, before: Lifecycle, after: Lifecycle, user_id: str) -> None:
        users, sample = self._cells.get((before, after), (0, []))
        if len(sample) < SAMPLE:
            sample.append(user_id)
        self._cells[before, after] = users + 1, sample

    def cells(self) -> list[dict[str, Any]]:
        """Return the cells that hold anybody."""
        order = list(Lifecycle)
        return [
            {"before": before.value, "after": after.value, "users": users, "sample": sample}
            for (before, after), (users, sample) in sorted(
                self._cells.items(), key=lambda cell: [order.index(each) for each in cell[0]]
            )
        ]

    def totals(self) -> dict[str, int]:
        """Return how many users were counted, and how many would change."""
        changed = sum(users for (was, becomes), (users, _) in self._cells.items() if was != becomes)
        return {"users": sum(users for users, _ in self._cells.values()), "changed": changed}


def policies_after(question: Question, candidate: Policy | None, active: Policies) -> Policies:
    """Return the policies with the one that is looked at. Raises PreviewOvertaken, PermanentError."""
    if active.current.version != question.against:
        raise PreviewOvertaken(
            f"version {active.current.version} was activated meanwhile: preview the policy again"
        )
    if candidate is None:
        raise PermanentError(f"there is no policy of version {question.version}")
    return active.followed_by(candidate, question.at)


async def count_page(
    profiles: Sequence[Profile],
    matrix: Matrix,
    *,
    question: Question,
    before: Policies,
    after: Policies,
    store: Store,
) -> None:
    """Add some users to the matrix."""
    hiding = [each.user_id for each in profiles if hides_silences(each, after)]
    logged = await store.logged(hiding, grain=after.grain) if hiding else {}
    for profile in profiles:
        found = moved(
            profile,
            question.at,
            before=before,
            after=after,
            logged=logged.get(profile.user_id),
        )
        if found is not None:
            matrix.add(*found, profile.user_id)

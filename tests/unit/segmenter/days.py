"""Arrivals of tests whose product's days are those of UTC."""

from collections.abc import Collection
from datetime import datetime

from services.segmenter.domain.profile import Arrivals, Change, Profile


def arrivals_of(instants: Collection[datetime], known_at: datetime, *, part: int = 0) -> Arrivals:
    return Arrivals(instants, known_at, part, {instant.toordinal() for instant in instants})


def unchanged(profile: Profile) -> Change:
    return Change(profile, profile)

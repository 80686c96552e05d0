"""Instants as files write them: ISO 8601, numbers, or a pattern, and the zone of those without one."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from deploy.cli.exits import Failed
from shared.instants import read_iso

ISO, SECONDS, MILLISECONDS = "iso", "seconds", "milliseconds"
_PER_S = {SECONDS: 1, MILLISECONDS: 1_000}
_PROBE = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_SECONDS_UNTIL = (
    100_000_000_000  # as milliseconds they end in 1973: what lies below was meant as seconds
)


class NoInstant(Exception):
    """A value is no instant; the message says why."""


@dataclass(frozen=True, slots=True)
class InstantReader:
    """Reads instants of one file. `form` is iso, seconds, milliseconds or a pattern of strptime."""

    form: str
    zone: tzinfo

    def read(self, value: Any) -> datetime:
        """Return it in UTC. Raises NoInstant."""
        try:
            return self._aware(self._written(value))
        except OverflowError:
            raise NoInstant(f"{_shown(value)} lies outside the calendar") from None

    def _written(self, value: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)  # noqa: DTZ001  its zone follows
        if isinstance(value, str):
            return self._of_text(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._of_number(value)
        raise NoInstant(f"{_shown(value)} is no text and no number")

    def _of_text(self, text: str) -> datetime:
        if self.form in _PER_S:
            try:
                return self._of_number(float(text))
            except ValueError:
                raise NoInstant(f"{_shown(text)} is no number of {self.form}") from None
        return self._parsed(text, read_iso if self.form == ISO else self._of_pattern)

    def _of_pattern(self, text: str) -> datetime:
        return datetime.strptime(text, self.form)  # noqa: DTZ007  its zone follows

    def _parsed(self, text: str, parse: Callable[[str], datetime]) -> datetime:
        try:
            return parse(text)
        except ValueError:
            pass
        if self.form != ISO:
            raise NoInstant(f"{_shown(text)} is not of the form {self.form}")
        hint = f"{SECONDS}, {MILLISECONDS} or a pattern such as %d.%m.%Y"
        raise NoInstant(f"{_shown(text)} is no ISO 8601 time; --timestamp-format takes {hint}")

    def _of_number(self, number: float) -> datetime:
        """Return the instant of a number; where nothing is said, ingest's rule: milliseconds."""
        if self.form not in {ISO, *_PER_S}:
            raise NoInstant(f"{_shown(number)} is a number, not of the form {self.form}")
        if self.form == ISO and 0 < number < _SECONDS_UNTIL:
            raise NoInstant(
                f"{_shown(number)} looks like seconds: say --timestamp-format {SECONDS}"
            )
        try:
            return datetime.fromtimestamp(number / _PER_S.get(self.form, 1_000), UTC)
        except (OverflowError, ValueError, OSError):
            raise NoInstant(f"{_shown(number)} lies outside the calendar") from None

    def _aware(self, instant: datetime) -> datetime:
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=self.zone)
        return instant.astimezone(UTC)


def instant_reader(form: str, zone: str) -> InstantReader:
    """Return the reader that the options ask for. Raises Failed."""
    if form not in {ISO, *_PER_S}:
        _check_pattern(form)
    return InstantReader(form, _zone(zone))


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "zones are named as Europe/Berlin is"
        raise Failed(f"--zone {name}: there is no such zone: {hint}") from None


def _check_pattern(form: str) -> None:
    try:
        usable = "%" in form and bool(datetime.strptime(_PROBE.strftime(form), form))  # noqa: DTZ007
    except ValueError:
        usable = False
    if not usable:
        raise Failed(
            f"--timestamp-format {form}: is neither {ISO}, {SECONDS} nor {MILLISECONDS}, "
            "and no pattern such as '%d.%m.%Y %H:%M'"
        )


def _shown(value: Any) -> str:
    return repr(value)[:80]

"""The product's calendar: which day, week, month and hour of its time zone an instant lies in.

Days are numbered as `date.toordinal` numbers them. Every event is asked for its day, so each day of UTC is
cut into pieces once and then only looked up: a conversion by zoneinfo takes several times as long.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_MOST = 20_000  # days, some 8 MB, and hours, some 3 MB; ever others must not fill the memory
# The first and last days of the calendar are those of UTC: a conversion could lead out of it.
_CONVERTED = range(date.min.toordinal() + 2, date.max.toordinal() - 1)


class _Piece(NamedTuple):
    """From `start` on, as far as the day of UTC goes: one local day, one offset."""

    start: datetime
    day: int
    offset: timedelta


class _Cut(NamedTuple):
    """A day of UTC: in `after` from `turn` on, before it in `before`. No turn: see the pieces."""

    turn: datetime | None
    before: int
    after: int
    pieces: tuple[_Piece, ...]


class Calendar:
    """The days of one time zone, daylight saving and all. Instants are aware and in UTC."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._cuts: dict[int, _Cut] = {}
        self._hours: dict[int, datetime] = {}  # by the numbers of UTC's hours

    def day_of(self, instant: datetime) -> int:
        """Return the local date of an instant, as its ordinal."""
        turn, before, after, pieces = self._cuts.get(instant.toordinal()) or self._cut(instant)
        if turn is None:
            return _piece_at(pieces, instant).day
        return before if instant < turn else after

    def day_of_microsecond(self, at: int) -> int:
        """Return the local date of an instant that is given in µs since 1970."""
        return self.day_of(_EPOCH + timedelta(microseconds=at))

    def hour_of(self, instant: datetime) -> datetime:
        """Return the instant at which the hour of the local clock began.

        Where the clock is put forward or back another hour begins: none has more than 60 minutes, and
        each lies within one local day.
        """
        number = instant.toordinal() * 24 + instant.hour
        return self._hours.get(number) or self._hour(number, instant)

    @staticmethod
    def week_of(day: int) -> int:
        """Return the Monday of a day's week."""
        return day - (day - 1) % 7

    @staticmethod
    def month_of(day: int) -> int:
        """Return the first day of a day's month."""
        return _month_of(day)

    def _hour(self, number: int, instant: datetime) -> datetime:
        """Return where the local hour began, and keep it where it is the whole hour of UTC."""
        pieces = (self._cuts.get(instant.toordinal()) or self._cut(instant)).pieces
        piece = _piece_at(pieces, instant)
        began = instant - (instant - _EPOCH + piece.offset) % _HOUR
        if began < piece.start and self._offset_at(began) != piece.offset:
            return self._change_between(began, instant)
        on_the_hour = began.minute == began.second == began.microsecond == 0
        if on_the_hour and not any(
            each.start > began and each.start.hour == began.hour for each in pieces
        ):
            if len(self._hours) >= _MOST:
                self._hours.clear()
            self._hours[number] = began
        return began

    def _offset_at(self, instant: datetime) -> timedelta:
        cut = self._cuts.get(instant.toordinal()) or self._cut(instant)
        return _piece_at(cut.pieces, instant).offset

    def _cut(self, instant: datetime) -> _Cut:
        ordinal = instant.toordinal()
        pieces = tuple(self._pieces_of(ordinal))
        last = pieces[-1]
        turn = None if len(pieces) > 2 else last.start  # noqa: PLR2004  two sides of a turn
        if len(self._cuts) >= _MOST:
            self._cuts.clear()
        cut = self._cuts[ordinal] = _Cut(turn, pieces[0].day, last.day, pieces)
        return cut

    def _pieces_of(self, ordinal: int) -> list[_Piece]:
        """Cut a day of UTC where the offset changes, and at the local midnights."""
        start = datetime.fromordinal(ordinal).replace(tzinfo=UTC)
        if ordinal not in _CONVERTED:
            return [_Piece(start, ordinal, timedelta(0))]
        pieces: list[_Piece] = []
        changes = self._changes(start)
        for begin, end in zip(changes, [*changes[1:], start + _DAY], strict=True):
            offset = self._offset(begin)
            day = (begin + offset).toordinal()
            pieces.append(_Piece(begin, day, offset))
            midnight = begin + _DAY - (begin - _EPOCH + offset) % _DAY
            if midnight < end:
                pieces.append(_Piece(midnight, day + 1, offset))
        return pieces

    def _changes(self, start: datetime) -> list[datetime]:
        """Return the beginning of a day of UTC, and the instants in it at which the offset changes."""
        changes = [start]
        for hour in range(24):
            low = start + hour * _HOUR
            if self._offset(low) != self._offset(low + _HOUR):
                changes.append(self._change_between(low, low + _HOUR))
        return [each for each in changes if each < start + _DAY]

    def _change_between(self, low: datetime, high: datetime) -> datetime:
        """Return the first second with the offset of `high`; at `low` there is another one."""
        offset = self._offset(high)
        low, high = low.replace(microsecond=0), high.replace(microsecond=0)
        while high - low > _SECOND:
            middle = low + (high - low) // _SECOND // 2 * _SECOND
            if self._offset(middle) == offset:
                high = middle
            else:
                low = middle
        return high

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta(0)


def _piece_at(pieces: tuple[_Piece, ...], instant: datetime) -> _Piece:
    return next(each for each in reversed(pieces) if each.start <= instant)


@lru_cache(maxsize=4096)
def _month_of(day: int) -> int:
    return day - date.fromordinal(day).day + 1

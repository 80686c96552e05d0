"""The days on which a user was active, as bits of one number."""

from collections.abc import Iterable, Iterator

import msgspec


class ActiveDays(msgspec.Struct, frozen=True, gc=False):
    """Days by their ordinals: bit i stands for the day `first` + i. Bit 0 is always set.

    Never empty: whoever was never active has none. A year is 46 bytes; the result of any additions is the
    same in any order and with any repetition.
    """

    first: int
    bits: int = 1

    def __post_init__(self) -> None:
        if not self.bits & 1:
            raise ValueError("the first day is not among the active ones")

    @classmethod
    def of(cls, days: Iterable[int]) -> "ActiveDays":
        """Return these days. Raises ValueError where there are none."""
        given = tuple(days)
        first = min(given)
        bits = 0
        for day in given:
            bits |= 1 << (day - first)
        return cls(first, bits)

    @classmethod
    def from_bytes(cls, first: int, stored: bytes) -> "ActiveDays":
        return cls(first, int.from_bytes(stored, "little"))

    def to_bytes(self) -> bytes:
        """Return the bits as they are stored, the first day's in the first byte."""
        return self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")

    @property
    def last(self) -> int:
        return self.first + self.bits.bit_length() - 1

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __contains__(self, day: int) -> bool:
        return day >= self.first and bool(self.bits >> (day - self.first) & 1)

    def __iter__(self) -> Iterator[int]:
        """Return the days in their order."""
        bits = self.bits
        while bits:
            lowest = bits & -bits
            yield self.first + lowest.bit_length() - 1
            bits ^= lowest

    def add(self, days: Iterable[int]) -> "ActiveDays":
        """Return these days and those; itself where it has them all."""
        first, bits = self.first, self.bits
        for day in days:
            if day >= first:
                bits |= 1 << (day - first)
            else:
                bits = bits << (first - day) | 1
                first = day
        return self if bits == self.bits else ActiveDays(first, bits)

    def union(self, other: "ActiveDays") -> "ActiveDays":
        first = min(self.first, other.first)
        bits = self.bits << (self.first - first) | other.bits << (other.first - first)
        return ActiveDays(first, bits)

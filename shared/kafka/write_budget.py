"""How much memory unsettled records may hold, in all and for each partition. Pure."""


class Budget:
    """Bytes accepted and not yet settled, bounded in all and for each partition."""

    def __init__(self, *, total: int, share: float) -> None:
        self._total = total
        self._each = int(total * share)
        self.used = 0

    def account(self) -> "Account":
        """Open the account of one partition."""
        return Account(self, limit=self._each)

    def free(self) -> int:
        return self._total - self.used


class Account:
    """One partition's part of the budget."""

    __slots__ = ("_budget", "_limit", "used")

    def __init__(self, budget: Budget, *, limit: int) -> None:
        self._budget = budget
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve the bytes, or return False and reserve nothing."""
        if self.used + size > self._limit or size > self._budget.free():
            return False
        self.used += size
        self._budget.used += size
        return True

    def give(self, size: int) -> None:
        """Return reserved bytes."""
        self.used -= size
        self._budget.used -= size

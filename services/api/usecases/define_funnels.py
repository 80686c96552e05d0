"""What defining and deleting funnels asks of the database."""

from datetime import datetime
from typing import Protocol

from services.api.domain.funnels import FunnelDefinition, FunnelView
from shared.errors import PermanentError


class FunnelNameTaken(PermanentError):
    """Another funnel has this name."""


class TooManyFunnels(PermanentError):
    """There are as many funnels as there may be."""


class FunnelDefinitions(Protocol):
    """Changes the definitions, each in a transaction of its own. Every method may raise StoreUnavailable."""

    async def define(self, wanted: FunnelDefinition, *, by: str, now: datetime) -> FunnelView:
        """Define a funnel: it counts what is folded from now on, and a job counts the event log.

        Raises FunnelNameTaken, TooManyFunnels.
        """
        ...

    async def delete(self, funnel_id: int, *, by: str, now: datetime) -> bool:
        """Let a funnel count no more, and a job remove what it counted. False: there is none."""
        ...

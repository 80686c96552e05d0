"""Places in lists whose rows are told apart by a UUID."""

from uuid import UUID

from services.api.inbound.answers import bad_cursor, place_behind
from services.api.usecases.ports import At


def uuid_place_behind(listing: str, cursor: str | None) -> At | None:
    """Return the place behind which a page begins. Raises Problem."""
    place = place_behind(listing, cursor)
    if place is None:
        return None
    try:
        # In the one spelling that the database knows; Python knows several.
        return place[0], str(UUID(place[1]))
    except ValueError:
        raise bad_cursor("is not a cursor") from None

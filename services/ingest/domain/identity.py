"""Who an event is about: the client's ids, cleaned; words that are no ids at all are refused."""

from services.ingest.domain.verdict import Refused
from shared.vocabulary import LONGEST_ID, is_junk_id


def clean_id(value: object, *, field: str) -> str | None:
    """Return the id without surrounding space, or None where there is none. Raises Refused."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused("invalid_type", field, f"must be a string, not {json_type(value)}")
    try:
        text = str(value).strip()
    except ValueError:  # an integer of thousands of digits
        raise Refused("id_too_long", field, f"is longer than {LONGEST_ID} characters") from None
    if len(text) > LONGEST_ID:
        raise Refused("id_too_long", field, f"is longer than {LONGEST_ID} characters")
    return text or None


def clean_person(value: object, *, field: str) -> str | None:
    """Return the id of a person; refuse one that stands for many. Raises Refused."""
    text = clean_id(value, field=field)
    if text is not None and is_junk_id(text):
        raise Refused("junk_id", field, f"is {text!r}, which is not the id of one person")
    return text


def json_type(value: object) -> str:
    """Return what JSON calls the value's type, with its article."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
    }
    return "null" if value is None else names.get(type(value), "an object")

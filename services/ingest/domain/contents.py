"""What an event may carry: how deep, how many properties, and which amounts make sense."""

from collections.abc import Mapping
from typing import Any

from services.ingest.domain.identity import json_type
from services.ingest.domain.verdict import Refused

DEEPEST = 8
MOST_PROPERTIES = 100
AMOUNTS = ("revenue", "total", "amount", "price")
_NUL = "\x00"


def mapping_of(fields: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return the object under `field`, an empty one where it is absent or null. Raises Refused."""
    value = fields.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("invalid_type", field, f"must be an object, not {json_type(value)}")
    if len(value) > MOST_PROPERTIES:
        raise Refused(
            "too_many_properties",
            field,
            f"has {len(value)} entries; at most {MOST_PROPERTIES} are taken",
        )
    return value


def flag_of(fields: Mapping[str, Any], name: str, *, within: str | None = None) -> bool | None:
    """Return the flag under `name`, None where it is absent or null. Raises Refused."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    field = name if within is None else f"{within}.{name}"
    raise Refused("invalid_type", field, f"must be true or false, not {json_type(value)}")


def refuse_too_deep(fields: Mapping[str, Any]) -> None:
    """Raise Refused where objects and arrays nest deeper than `DEEPEST`, the event itself included."""
    level: list[Any] = [fields]
    for _ in range(DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise Refused("too_deep", None, f"is nested deeper than {DEEPEST} levels")


def refuse_nul(value: Any, *, path: str = "") -> None:
    """Raise Refused, naming the field, where a text holds U+0000, which Postgres can't keep."""
    if isinstance(value, str):
        if _NUL in value:
            raise Refused("nul_character", path or None, "holds the character U+0000")
    elif isinstance(value, dict):
        for name, each in value.items():
            if _NUL in name:
                raise Refused("nul_character", path or None, "has a name with the character U+0000")
            refuse_nul(each, path=f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            refuse_nul(each, path=f"{path}[{index}]")


def refuse_unfit(value: Any, *, path: str = "") -> None:
    """Raise Refused, naming the field, where a value is none that strict JSON can carry.

    For what a lenient reader took: NaN, infinities, and halves of a surrogate pair.
    """
    if isinstance(value, float) and value - value != 0:
        raise Refused("not_a_number", path or None, "is not a finite number")
    if isinstance(value, str) and _has_lone_surrogate(value):
        raise Refused("lone_surrogate", path or None, "holds half of a surrogate pair")
    if isinstance(value, dict):
        for name, each in value.items():
            refuse_unfit(name, path=path)
            refuse_unfit(each, path=f"{path}.{name}" if path else name)
    if isinstance(value, list):
        for index, each in enumerate(value):
            refuse_unfit(each, path=f"{path}[{index}]")


def refuse_negative_amounts(properties: Mapping[str, Any]) -> None:
    """Raise Refused where an amount of money is below zero: a refund is an event of its own."""
    for name in AMOUNTS:
        value = properties.get(name)
        if value is None:
            continue
        amount = _number(value)
        if amount is None:
            raise Refused("invalid_amount", f"properties.{name}", "must be a number")
        if amount < 0:
            raise Refused("negative_amount", f"properties.{name}", f"is negative: {value}")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if amount - amount == 0 else None  # neither infinite nor not-a-number


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for each in value.values() if isinstance(each, dict | list)]
    return [each for each in value if isinstance(each, dict | list)]

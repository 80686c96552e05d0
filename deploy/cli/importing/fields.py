"""Which field of an event comes from which column. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deploy.cli.exits import Failed

FIELDS = ("user_id", "anonymous_id", "previous_id", "type", "name", "timestamp", "id")
OBJECTS = ("properties", "context", "traits")
# Other spellings of our fields, Segment's among them.
SPELLED = {
    "message_id": "id",
    "event_id": "id",
    "messageId": "id",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "previousId": "previous_id",
    "event": "name",
}
REST = "properties.*"


class UnknownField(Failed):
    def __init__(self, field: str) -> None:
        known = ", ".join([*FIELDS, *(f"{each}.…" for each in OBJECTS)])
        super().__init__(f"{field!r} is no field of an event; the fields are {known}")


class MissingColumn(Failed):
    def __init__(self, column: str, field: str, columns: Sequence[str]) -> None:
        there = ", ".join(columns) or "none"
        super().__init__(f"there is no column {column!r} to take {field} from; there are: {there}")


class Unusable(Exception):
    """A value of a row is not one that its field takes; the message says why."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """How a row becomes an event: for each field its columns, the first that holds something counts.

    With `rest`, what no field is taken from becomes a property of its own name.
    """

    columns: Mapping[str, Sequence[str]]
    constants: Mapping[str, Any]
    rest: bool = False

    def gives(self, field: str) -> bool:
        return field in self.columns or field in self.constants


def split_pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """Return field → text of `--map field=column` and `--set field=value`. Raises Failed."""
    pairs: dict[str, str] = {}
    for each in given:
        written, equals, text = each.partition("=")
        if not equals or not text:
            raise Failed(f"{option} {each}: it must be FIELD=…, such as {option} user_id=customer")
        field = canonical(written)
        if field in pairs:
            raise Failed(f"{option} names {field} twice")
        pairs[field] = text
    return pairs


def canonical(written: str) -> str:
    """Return our name of a field. Raises UnknownField."""
    field = SPELLED.get(written, written)
    root, _, rest = field.partition(".")
    if (field not in FIELDS and root not in OBJECTS) or (root in OBJECTS and field.endswith(".")):
        raise UnknownField(written)
    if "*" in rest and field != REST:
        raise UnknownField(written)
    return field


def plan_fields(
    mapped: Mapping[str, str],
    constants: Mapping[str, str],
    columns: Sequence[str],
    *,
    all_known: bool,
) -> FieldPlan:
    """Return the plan for a file with these columns. Raises Failed where it can't make events.

    A field that nothing is said of comes from the column of its own name, if there is one.
    """
    rest = mapped.get(REST)
    if rest not in (None, "*"):
        raise Failed(f"--map {REST}={rest}: it takes the columns that are left, {REST}='*'")
    found = {field: (column,) for field, column in mapped.items() if field != REST}
    for field, (column,) in found.items():
        _check_column(column, field, columns, all_known=all_known)
    plan = FieldPlan(
        {**_of_their_own_name(columns, all_known=all_known), **found},
        {field: _constant(field, text) for field, text in constants.items()},
        rest is not None,
    )
    _check_complete(plan, columns)
    return plan


def event_of(values: Mapping[str, Any], plan: FieldPlan) -> dict[str, Any]:
    """Return the event that a row is, without what it leaves blank. Raises Unusable."""
    event: dict[str, Any] = {}
    if plan.rest:
        taken = {column for columns in plan.columns.values() for column in columns}
        for column, value in values.items():
            if column not in taken and column:
                _put(event, f"properties.{column}", value)
    for field, columns in plan.columns.items():
        _put(event, field, _first(values, columns))
    for field, value in plan.constants.items():
        _put(event, field, value)
    return event


def _check_column(column: str, field: str, columns: Sequence[str], *, all_known: bool) -> None:
    if column in columns:
        return
    # Where rows bring their own names, a property may be a rare one, and a name with dots a path.
    if not all_known and (column.partition(".")[0] in columns or _is_optional(field)):
        return
    raise MissingColumn(column, field, columns)


def _is_optional(field: str) -> bool:
    return field.partition(".")[0] in OBJECTS


def _of_their_own_name(columns: Sequence[str], *, all_known: bool) -> dict[str, tuple[str, ...]]:
    spelled: dict[str, list[str]] = {}
    for column in [*FIELDS, *OBJECTS, *SPELLED]:
        if column in columns or not all_known:
            spelled.setdefault(SPELLED.get(column, column), []).append(column)
    for column in columns:
        root, dot, rest = column.partition(".")
        if root in OBJECTS and dot and rest and rest != "*":
            spelled[column] = [column]
    # Whole objects first: what is said of one of their names is put into them.
    ordered = sorted(spelled, key=lambda field: field not in OBJECTS)
    return {field: tuple(spelled[field]) for field in ordered}


def _check_complete(plan: FieldPlan, columns: Sequence[str]) -> None:
    there = ", ".join(columns) or "none"
    if not plan.gives("user_id") and not plan.gives("anonymous_id"):
        raise Failed(f"no column says whose event it is: --map user_id=COLUMN; there are: {there}")
    if not plan.gives("timestamp"):
        raise Failed(f"no column says when it happened: --map timestamp=COLUMN; there are: {there}")
    typed = plan.constants.get("type") or ("type" not in plan.columns and "track")
    if typed == "track" and not plan.gives("name"):
        raise Failed(
            "nothing says what happened: --map name=COLUMN, or --set name='Order Completed'; "
            f"there are: {there}"
        )


def _constant(field: str, text: str) -> Any:
    """Return a value as JSON where it is, but for ids and names: those are texts, also of digits."""
    if not _is_optional(field):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _first(values: Mapping[str, Any], columns: Sequence[str]) -> Any:
    for column in columns:
        value = _value(values, column)
        if value not in (None, ""):
            return value
    return None


def _value(values: Mapping[str, Any], column: str) -> Any:
    if column in values or "." not in column:
        return values.get(column)
    root, _, rest = column.partition(".")
    inner = values.get(root)
    return _value(inner, rest) if isinstance(inner, dict) else None


def _put(event: dict[str, Any], field: str, value: Any) -> None:
    if value in (None, ""):
        return
    root, _, name = field.partition(".")
    if root not in OBJECTS:
        event[field] = value
    elif name:
        inner = event.setdefault(root, {})
        if isinstance(inner, dict):
            inner[name] = value
    else:
        _merge(event, field, value)


def _merge(event: dict[str, Any], field: str, value: Any) -> None:
    """Put in a whole object; in CSV it is written as JSON. Another value is for ingest to refuse."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise Unusable(f"{field}: is no JSON object: {value[:60]}") from None
    event[field] = {**event.get(field, {}), **value} if isinstance(value, dict) else value

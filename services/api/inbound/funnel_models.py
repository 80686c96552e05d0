"""A funnel as it is sent: what may stand in it, and why something may not."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, StrictInt, WithJsonSchema

from services.api.domain.funnels import (
    FEWEST_STEPS,
    LONGEST_WINDOW_S,
    MOST_CONDITIONS,
    MOST_STEPS,
    SHORTEST_WINDOW_S,
)
from services.api.inbound.answers import Text, Words
from services.api.inbound.json_bodies import OR_WITH_A_POINT
from shared.vocabulary import EventType

Scalar = str | int | float | bool
_LONGEST_VALUE = 1_000
_LARGEST_NUMBER = 2**53  # beyond it JSON's readers differ


def _scalar(given: object) -> Scalar:
    if isinstance(given, str):
        if len(given) > _LONGEST_VALUE or "\x00" in given:
            raise ValueError(f"has more than {_LONGEST_VALUE} characters, or holds U+0000")
        return given
    if isinstance(given, bool):
        return given
    if isinstance(given, (int, float)):
        if not abs(given) <= _LARGEST_NUMBER:  # nor is NaN
            raise ValueError("is no number between -2^53 and 2^53")
        return given
    raise ValueError("must be a text, a number, true or false")


class FunnelCondition(BaseModel, extra="forbid"):
    """A property of the event (`properties.…` of what was sent) that must have a value."""

    property: Text
    equals: Annotated[
        Scalar,
        PlainValidator(_scalar),
        WithJsonSchema({"type": ["string", "number", "boolean"]}),
    ]


def _each_once(conditions: list[FunnelCondition]) -> list[FunnelCondition]:
    if len({each.property for each in conditions}) < len(conditions):
        raise ValueError("names a property twice")
    return conditions


class FunnelStep(BaseModel, extra="forbid"):
    """An event that is this step: by its name, and by its type and properties where they are named."""

    event: Text
    type: EventType | None = None
    conditions: Annotated[
        list[FunnelCondition], Field(max_length=MOST_CONDITIONS), AfterValidator(_each_once)
    ] = []


class FunnelToDefine(BaseModel, extra="forbid"):
    """A funnel to be counted."""

    name: Words
    steps: list[FunnelStep] = Field(min_length=FEWEST_STEPS, max_length=MOST_STEPS)
    window_s: Annotated[
        StrictInt, Field(ge=SHORTEST_WINDOW_S, le=LONGEST_WINDOW_S), OR_WITH_A_POINT
    ]

    def stored_steps(self) -> list[dict[str, Any]]:
        return [each.model_dump(mode="json") for each in self.steps]

"""JSON on the wire: one encoder and one decoder per message, built once."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from shared.contracts.alerts import AlertMessage
from shared.contracts.events import EventEnvelope
from shared.contracts.feedback import Feedback
from shared.contracts.transitions import TransitionMessage

M = TypeVar("M")

encode: Final[Callable[[msgspec.Struct], bytes]] = msgspec.json.Encoder().encode

decode_event: Final = msgspec.json.Decoder(EventEnvelope).decode
decode_feedback: Final = msgspec.json.Decoder(Feedback).decode
decode_transition: Final = msgspec.json.Decoder(TransitionMessage).decode
decode_alert: Final = msgspec.json.Decoder(AlertMessage).decode


# What the decoders raise where bytes are not a message; `why` says it in one line.
UNDECODABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def why_undecodable(decode: Callable[[bytes], M], value: bytes) -> M | str:
    """Return the message, or one line on why the bytes are not one. Never raises."""
    try:
        return decode(value)
    except UNDECODABLE as error:
        return why(error)

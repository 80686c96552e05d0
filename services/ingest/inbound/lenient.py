"""A second reading of what strict JSON refuses, to name the fault.

Slow, and only ever used on bodies that are refused otherwise.
"""

import json
import re
from typing import Any

from services.ingest.domain.contents import refuse_unfit
from services.ingest.domain.verdict import Refusal, Refused

# What msgspec says of where it stopped; it says nothing where the input ends too early.
_PLACE = re.compile(r"\(byte (\d+)\)")


def read_leniently(raw: bytes) -> Any:
    """Return what Python's own reader makes of it, NaN and lone surrogates included, or None."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def explain(raw: bytes, error: Exception) -> tuple[Any, Refusal]:
    """Return what can be read of the bytes, and why they are refused, with the field where known."""
    if isinstance(error, RecursionError):
        return None, Refusal("too_deep", None, "is nested too deep")
    fields = read_leniently(raw)
    try:
        refuse_unfit(fields)
    except Refused as refused:
        return fields, refused.refusal
    except RecursionError:
        return None, Refusal("too_deep", None, "is nested too deep")
    return None, Refusal("invalid_json", None, _why_no_json(raw, error))


def _why_no_json(raw: bytes, error: Exception) -> str:
    if not raw.strip():
        return "is empty"
    try:
        raw.decode()
    except UnicodeDecodeError as fault:
        return f"is not UTF-8 (at byte {fault.start})"
    place = _PLACE.search(str(error))
    return f"is no JSON (at byte {place[1]})" if place else "is no JSON: it ends too early"

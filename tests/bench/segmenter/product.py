"""What the harness knows of the segmenter's settings: its counters can be switched off for measuring."""

from services.segmenter.settings import Settings

COUNTERS = "EBBTIDE_SEGMENTER_COUNTERS"
_FIELD = "counters"


def has_counters() -> bool:
    """Say whether the segmenter can be told to do without them."""
    return _FIELD in Settings.model_fields


def counters(*, on: bool) -> dict[str, str]:
    """Return the setting; a segmenter that does not know it is left as it is."""
    return {COUNTERS: "true" if on else "false"} if has_counters() else {}

"""What the harness knows of the segmenter: its counters can be switched off, and funnels be live."""

import asyncpg

from services.segmenter.settings import Settings

COUNTERS = "EBBTIDE_SEGMENTER_COUNTERS"
_FIELD = "counters"
_LIVE_FUNNEL = """
    INSERT INTO funnels (name, steps, window_s, state, created_at, held_since)
    VALUES ('bench', $1::jsonb, 86400, 'live', now(), now())
"""
_STEPS = '[{"event": "Song Searched"}, {"event": "Playlist Made"}, {"event": "Plan Upgraded"}]'


def has_counters() -> bool:
    """Say whether the segmenter can be told to do without them."""
    return _FIELD in Settings.model_fields


def counters(*, on: bool) -> dict[str, str]:
    """Return the setting; a segmenter that does not know it is left as it is."""
    return {COUNTERS: "true" if on else "false"} if has_counters() else {}


async def add_live_funnel(dsn: str) -> None:
    """Let one funnel of three steps be live, where there are funnels."""
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regclass('funnels')") is not None:
            await connection.execute(_LIVE_FUNNEL, _STEPS)
            await connection.execute("UPDATE funnels_version SET version = gen_random_uuid()")
    finally:
        await connection.close()

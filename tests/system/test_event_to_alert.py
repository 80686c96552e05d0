"""From an event to a call on somebody's webhook, and back again when the user returns."""

from datetime import UTC, datetime

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SECRET = "secret-of-the-on-call-webhook"

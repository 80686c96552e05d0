"""docs/alerts.md tells the truth: its code is run, its tables are compared."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import services.alerts
from services.alerts.domain.delivery import RetryPolicy
from services.alerts.outbound.channels import webhook
from services.alerts.outbound.channels.webhook import Webhook, WebhookLimits, WebhookTarget
from services.alerts.settings import Settings
from shared.clock import SystemClock
from shared.configuration import is_shared, variable_name
from shared.observability import metrics
from tests.integration.alerts.receiver import Received, receiver

ROOT = Path(next(iter(services.alerts.__path__))).parents[1]
PAGE = (ROOT / "docs" / "alerts.md").read_text()
SECRET = "a-secret-of-the-webhook"


def verification() -> Callable[..., bool]:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/alerts.md", "exec"), names)  # noqa: S102  our own page
    checked: Callable[..., bool] = names["is_genuine"]
    return checked


async def received(body: bytes) -> Received:
    async with receiver() as target:
        url = f"http://127.0.0.1:{target.port}/"
        channel = Webhook(
            WebhookTarget(url=url, secret=SECRET, allow_local=True), clock=SystemClock()
        )
        await channel.send(body, delivery_id=uuid4())
        await channel.close()
    return target.received[0]


def as_documented(got: Received) -> dict[str, str]:
    return {name.title(): value for name, value in got.headers.items()}


async def test_the_code_for_receivers_accepts_what_the_webhook_sends() -> None:
    got = await received('{"text": "流失"}'.encode())

    assert verification()(as_documented(got), got.body, SECRET)


async def test_the_code_for_receivers_refuses_what_was_changed_or_is_old() -> None:
    got = await received(b'{"v": 1}')
    headers, is_genuine = as_documented(got), verification()

    old = {**headers, "Ebbtide-Timestamp": str(int(headers["Ebbtide-Timestamp"]) - 301)}
    assert not is_genuine(headers, got.body + b" ", SECRET)
    assert not is_genuine(headers, got.body, "another secret")
    assert not is_genuine(old, got.body, SECRET)


def test_every_setting_of_alerts_is_described_with_its_default() -> None:
    for field, described in Settings.model_fields.items():
        if is_shared(field):
            continue
        name = variable_name(field, service="alerts")
        row = re.search(rf"^\| `{name}` \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
        assert row is not None, name
        default = described.default
        if default is not None:
            written = str(default).lower() if isinstance(default, bool) else str(default)
            assert row[1] == f"`{written}`", name


def test_every_metric_named_exists_and_none_of_alerts_is_left_out() -> None:
    known = {metric.name for metric in metrics.ALL}
    named = set(re.findall(r"`(ebbtide_[a-z_]+)", PAGE))

    own = {name for name in known if re.match("ebbtide_(alerts|notifications)_", name)}
    assert own <= named <= known


def test_the_numbers_are_those_of_the_code() -> None:
    policy, limits = RetryPolicy(), WebhookLimits()

    assert f"Waits grow from {policy.first_wait_s:.0f} seconds to" in PAGE
    assert f"to {policy.longest_wait_s / 3600:.0f} hours, spread" in PAGE
    assert f"After\n{policy.attempts} attempts or {policy.give_up_after_s / 3600:.0f} hours" in PAGE
    assert f"Answer within {limits.total_s:.0f} seconds" in PAGE
    assert f"At most {limits.answer_bytes // 1024} KiB" in PAGE
    at_fault = ", ".join(str(status.value) for status in sorted(webhook._AT_FAULT))
    assert f"| 3xx, {at_fault} |" in PAGE

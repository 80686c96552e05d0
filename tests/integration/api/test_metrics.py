"""The api's requests are counted under the templates of its routes, never under ids."""

import httpx
import pytest
from prometheus_client import CollectorRegistry

from shared.http.requests import measured
from shared.observability import metrics as m
from shared.observability.metrics import Metrics
from tests.integration.api.routes import questions
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres


async def test_every_question_is_counted_under_its_template(api: Site) -> None:
    registry = CollectorRegistry()
    app = measured(api.app, service="api", metrics=Metrics(registry))
    asked = [route.address() for route in questions(api.app)]

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://api", headers=api.client.headers
    ) as client:
        for path in [*asked, "/livez", "/v1/users/bob", "/v1/nothing", "/nowhere"]:
            await client.get(path)

    counted = {
        sample.labels["route"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == m.HTTP_REQUESTS.name
    }
    assert {each.replace(":path", "") for each in counted} == {
        *(route.template for route in questions(api.app)),
        "/livez",
        "unmatched",
    }

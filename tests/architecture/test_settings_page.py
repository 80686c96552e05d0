"""`.env.example` says what the settings are."""

import pytest
from pydantic import BaseModel

from tests.architecture.settings_page import OWN, PAGE, SHARED, page


def test_the_example_environment_shows_every_variable_with_its_default_and_meaning() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.architecture.settings_page"


@pytest.mark.parametrize("model", [*SHARED, *(model for _, model in OWN)])
def test_every_setting_has_a_description(model: type[BaseModel]) -> None:
    bare = [name for name, field in model.model_fields.items() if not field.description]

    assert not bare

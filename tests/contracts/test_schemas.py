"""The published schemas say what the code does, and hold for the golden messages."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import topics
from shared.contracts.topics import Topic
from tests.contracts.schemas import ASYNCAPI, FOLDER, MESSAGES, Message, files
from tests.contracts.test_golden_messages import GOLDEN, golden

DOCUMENT: dict[str, Any] = json.loads(ASYNCAPI.read_text())


def check(schema: Path, instance: Path) -> subprocess.CompletedProcess[str]:
    """Validate with a program that shares nothing with the codec."""
    words = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(instance)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def instance(directory: Path, message: Message, fields: dict[str, Any]) -> Path:
    """Write what the schema is about: of a dead letter, the headers."""
    written = directory / "instance.json"
    written.write_text(json.dumps(fields["headers"] if message.struct is None else fields))
    return written


def resolve(reference: str) -> Any:
    """Follow a reference inside the AsyncAPI document."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_files_show_the_code() -> None:
    published = {path: path.read_text() for path in FOLDER.iterdir()}

    assert published == dict(files()), "run: python -m tests.contracts.schemas"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
@pytest.mark.parametrize("end", [".v1.json", ".v1.least.json"])
def test_golden_messages_keep_their_schema_and_may_say_more(
    message: Message, end: str, tmp_path: Path
) -> None:
    fields = json.loads(golden(message.file.replace(".v1.json", end)))
    fields["later"] = 1

    said = check(FOLDER / message.file, instance(tmp_path, message, fields))

    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("timestamp", "yesterday"), ("v", 2), ("type", "dance"), ("payload", 3), ("user_id", None)],
)
def test_a_schema_refuses_what_is_none_of_its_messages(
    field: str, wrong: object, tmp_path: Path
) -> None:
    [message] = [each for each in MESSAGES if each.topic is topics.EVENTS]
    fields = json.loads(golden(message.file)) | {field: wrong}

    said = check(FOLDER / message.file, instance(tmp_path, message, fields))

    assert said.returncode == 1
    assert f"$.{field}" in said.stdout


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_the_asyncapi_document_names_every_topic_with_the_schema_of_its_messages(
    topic: Topic,
) -> None:
    [channel] = [each for each in DOCUMENT["channels"].values() if each["address"] == topic.name]
    messages = [resolve(each["$ref"]) for each in channel["messages"].values()]

    schemas = [each["headers" if "headers" in each else "payload"]["$ref"] for each in messages]
    assert schemas == [f"./{each.file}" for each in MESSAGES if each.topic is topic]
    assert all((FOLDER / schema).exists() for schema in schemas)
    assert channel["bindings"]["kafka"]["partitions"] == topic.partitions


def test_every_topic_but_the_reserved_one_has_a_message() -> None:
    assert {each.topic for each in MESSAGES} == set(topics.ALL) - {topics.CONFIG}


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    references = re.findall(r'"\$ref": "(.*?)"', ASYNCAPI.read_text())

    inside = [each for each in references if each.startswith("#/")]
    assert all(resolve(each) for each in inside)
    assert {each for each in references if each not in inside} == {
        f"./{each.file}" for each in MESSAGES
    }


def test_golden_messages_and_schemas_have_the_same_names() -> None:
    assert {path.name.replace(".least.", ".") for path in GOLDEN.iterdir()} == {
        each.file for each in MESSAGES
    }

"""The published schemas from the code: `python -m tests.contracts.schemas` writes them.

One JSON Schema for each message, and one AsyncAPI document that names every topic.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from inspect import getdoc
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast

import msgspec
from msgspec.structs import FieldInfo
from msgspec.structs import fields as _fields

from shared.contracts import dead_letters, topics
from shared.contracts.alerts import AlertMessage
from shared.contracts.events import EventEnvelope
from shared.contracts.feedback import Feedback
from shared.contracts.topics import Topic
from shared.contracts.transitions import TransitionMessage

FOLDER = Path(__file__).parents[2] / "shared" / "contracts" / "schemas"
ASYNCAPI = FOLDER / "asyncapi.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_INSTANT = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class Message:
    """What a topic carries. A dead letter's struct is None: its headers are what is fixed."""

    file: str
    title: str
    topic: Topic
    struct: type[msgspec.Struct] | None


MESSAGES = (
    Message("event.v1.json", "Event", topics.EVENTS, EventEnvelope),
    Message("feedback.v1.json", "Feedback", topics.FEEDBACK, Feedback),
    Message("transition.v1.json", "Transition", topics.TRANSITIONS, TransitionMessage),
    Message("alert.v1.json", "Alert", topics.ALERTS, AlertMessage),
    Message("dead-letter.v1.json", "DeadLetter", topics.DEAD_LETTER, None),
)
# Header → what it says, and whether it may be missing.
_HEADERS = MappingProxyType(
    {
        dead_letters.HEADER_ID: ("id of the letter; the same input sent again has the same", True),
        dead_letters.HEADER_CODE: ("why it was refused, as a word", True),
        dead_letters.HEADER_FIELD: ("the offending field, in the client's spelling", False),
        dead_letters.HEADER_REASON: ("why it was refused, in words", True),
        dead_letters.HEADER_ORIGIN: ("which step refused it", True),
        dead_letters.HEADER_SOURCE: ("the product app that sent it", False),
        dead_letters.HEADER_TRUNCATED: ("`true` where only the first part was kept", False),
    }
)


def files() -> Mapping[Path, str]:
    """Return every published file as it should be."""
    documents = {FOLDER / each.file: schema(each) for each in MESSAGES}
    return {
        path: _text(document) for path, document in (documents | {ASYNCAPI: asyncapi()}).items()
    }


def schema(message: Message) -> Schema:
    """Return a message's JSON Schema. It forbids no further fields: readers ignore them."""
    about = {"$schema": DIALECT, "title": message.title}
    if message.struct is None:
        return about | _headers_schema()
    return about | _struct_schema(message.struct)


def asyncapi() -> Schema:
    """Return the AsyncAPI 3 document of the topics."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ebbtide's topics",
            "version": "1",
            "description": "Records can repeat, and readers ignore fields that they do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_channel_name(topic): _channel(topic) for topic in topics.ALL},
        "operations": {f"read{message.title}": _operation(message) for message in MESSAGES},
        "components": {"messages": {each.title: _message(each) for each in MESSAGES}},
    }


def _struct_schema(struct: type[msgspec.Struct]) -> Schema:
    """Return the schema of a struct as the fields of one object, its version among them."""
    definitions = msgspec.json.schema(_presentable(struct))["$defs"]
    root: Schema = definitions.pop(struct.__name__)
    version = next(each for each in _fields(struct) if each.name == "v")
    root["properties"]["v"] = {"const": cast("Callable[[], int]", version.default_factory)()}
    root["required"] = ["v", *root["required"]]
    return root | {"$defs": definitions}


def _presentable(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the struct in types whose schema says what is on the wire.

    msgspec has no schema for raw JSON, calls an instant any string, and leaves the indentation in
    a docstring.
    """
    fields = [(each.name, _presentable_type(each.type), _default(each)) for each in _fields(struct)]
    about = {"__doc__": getdoc(struct)}
    return msgspec.defstruct(struct.__name__, fields, kw_only=True, namespace=about)


def _presentable_type(given: Any) -> Any:
    if given is msgspec.Raw:
        return dict[str, Any]
    if given in (datetime, datetime | None):
        return _INSTANT if given is datetime else _INSTANT | None
    is_struct = isinstance(given, type) and issubclass(given, msgspec.Struct)
    return _presentable(given) if is_struct else given


def _default(field: FieldInfo) -> Any:
    if field.type is msgspec.Raw:
        return msgspec.field(default_factory=dict)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field(default=field.default)


def _headers_schema() -> Schema:
    return {
        "description": "The headers of a dead letter; its key and value are the original bytes.",
        "type": "object",
        "properties": {
            name: {"type": "string", "description": meaning}
            for name, (meaning, _) in _HEADERS.items()
        },
        "required": [name for name, (_, required) in _HEADERS.items() if required],
    }


def _channel(topic: Topic) -> Schema:
    carried = [each for each in MESSAGES if each.topic is topic]
    return {
        "address": topic.name,
        "description": f"Made by {topic.made_by}, read by {topic.read_by}."
        if carried
        else "Reserved: nobody writes to it yet.",
        "messages": {
            each.title: {"$ref": f"#/components/messages/{each.title}"} for each in carried
        },
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compacted else "delete"],
                    "retention.ms": -1 if topic.retention_ms is None else topic.retention_ms,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(message: Message) -> Schema:
    channel = f"#/channels/{_channel_name(message.topic)}"
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{message.title}"}],
    }


def _message(message: Message) -> Schema:
    key = {"kafka": {"key": {"type": "string", "description": message.topic.key}}}
    reference = {"$ref": f"./{message.file}"}
    if message.struct is None:
        original = {"description": "the original bytes, whatever they are"}
        return {
            "contentType": "application/octet-stream",
            "headers": reference,
            "payload": original,
            "bindings": key,
        }
    return {"contentType": "application/json", "payload": reference, "bindings": key}


def _channel_name(topic: Topic) -> str:
    """Return `deadLetter` for `ebbtide.dead-letter.v1`."""
    first, *rest = topic.name.split(".")[1].split("-")
    return first + "".join(word.title() for word in rest)


def _text(document: Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)

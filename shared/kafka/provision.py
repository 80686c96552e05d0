"""`python -m shared.kafka.provision`: create the topics that are missing, and set their limits."""

import argparse
import asyncio
import sys

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pydantic import Field

from shared.configuration import CommonSettings, Environment, KafkaSettings, load
from shared.contracts import topics
from shared.contracts.topics import Topic
from shared.errors import BrokerUnavailable, InvalidConfiguration

NO_LIMIT_MS = 2**63 - 1


class ProvisionSettings(CommonSettings, KafkaSettings):
    """How the topics are made."""

    replication: int = Field(1, ge=1, description="replicas of each partition; 3 in production")
    min_insync_replicas: int = Field(1, ge=1, description="replicas that an ack needs; 2 of 3")
    partitions: int = Field(
        topics.DEFAULT_PARTITIONS, ge=1, le=1024, description="partitions of a new topic"
    )


async def provision(
    bootstrap: str, settings: ProvisionSettings, *, wanted: tuple[Topic, ...] = topics.ALL
) -> list[str]:
    """Create what is missing and return the names. Topics that exist keep their partitions.

    Raises BrokerUnavailable.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            await _create(admin, missing, settings)
        await _configure(admin, [topic for topic in wanted if topic.name in existing], settings)
    except KafkaError as error:
        raise BrokerUnavailable(str(error)) from error
    finally:
        await admin.close()
    return [topic.name for topic in missing]


def topic_settings(topic: Topic, settings: ProvisionSettings) -> dict[str, str]:
    """Return the broker's settings for a topic.

    Records carry product time, which a demo or a test drives through decades: where it may be
    driven, a broker that compares it with its own clock would refuse or delete them.
    """
    drivable = settings.clock_file is not None
    retention = -1 if drivable else topic.retention_ms
    values = {
        "max.message.bytes": str(topic.max_message_bytes),
        "min.insync.replicas": str(settings.min_insync_replicas),
        "message.timestamp.after.max.ms": str(NO_LIMIT_MS if drivable else 3_600_000),
        "message.timestamp.before.max.ms": str(NO_LIMIT_MS),
        "cleanup.policy": "compact" if topic.compacted else "delete",
    }
    return values if topic.compacted else {**values, "retention.ms": str(retention)}


async def _create(
    admin: AIOKafkaAdminClient, missing: list[Topic], settings: ProvisionSettings
) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                # Some topics are made small on purpose; the rest follow the setting.
                topic.partitions
                if topic.partitions != topics.DEFAULT_PARTITIONS
                else settings.partitions,
                settings.replication,
                topic_configs=topic_settings(topic, settings),
            )
            for topic in missing
        ],
        timeout_ms=30_000,
    )
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name}: {message}")


async def _configure(
    admin: AIOKafkaAdminClient, existing: list[Topic], settings: ProvisionSettings
) -> None:
    if existing:
        await admin.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC, topic.name, configs=topic_settings(topic, settings)
                )
                for topic in existing
            ]
        )


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m shared.kafka.provision", description=__doc__
    ).parse_args()
    try:
        settings = load(ProvisionSettings, service="migrate", others=MIGRATE_OTHERS)
        if settings.environment is Environment.PRODUCTION and settings.replication == 1:
            print("provision: one replica of each partition: an ack is one disk", file=sys.stderr)  # noqa: T201
        created = asyncio.run(provision(settings.kafka_bootstrap, settings))
    except (InvalidConfiguration, BrokerUnavailable) as error:
        print(f"provision: {error}", file=sys.stderr)  # noqa: T201  a command's answer
        return 2
    print(f"topics created: {', '.join(created) or 'none was missing'}")  # noqa: T201
    return 0


# The database's half of the same set-up step has variables of its own.
MIGRATE_OTHERS = (
    "MIGRATE_SEGMENTER_PASSWORD",
    "MIGRATE_ALERTS_PASSWORD",
    "MIGRATE_API_PASSWORD",
)

if __name__ == "__main__":
    raise SystemExit(main())

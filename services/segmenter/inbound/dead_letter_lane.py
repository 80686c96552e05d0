"""One batch of the dead-letter topic → the table that operators read."""

from shared.database import dead_letters
from shared.database.connection import Connection, translated
from shared.database.dead_letters import Place
from shared.kafka.dead_letter_log import NotADeadLetter, read_dead_letter
from shared.lanes.work import Applied, Batch, Refused


class DeadLetterLane:
    """The work on the dead-letter topic; keeps `LaneWork`."""

    async def prepare(self, batch: Batch) -> None:
        """Nothing to make room for: the table is not partitioned."""

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        letters = []
        refused = []
        for record in batch.records:
            try:
                letter = read_dead_letter(record)
            except NotADeadLetter as error:
                refused.append(Refused(record, "not_a_dead_letter", None, str(error)))
            else:
                letters.append((letter, Place(batch.topic, batch.part, record.offset)))
        if letters:
            with translated():
                await dead_letters.insert(connection, letters)
        return Applied(refused=refused)

"""A backlog of many days, too large for one batch: nobody whose events wait in it may be declared
silent on the way through.
"""

from datetime import timedelta

from tests.chaos.load import Load
from tests.chaos.sent import Sent
from tests.system.stack import Stack

USERS = 40
DAYS = 20
EVENTS_A_DAY = 2
# Large events: a fetch is limited in bytes, so that a partition's backlog takes several.
FILLER = "x" * 24_000


async def build_and_fold(stack: Stack, load: Load) -> None:
    """Fold one event of each user, stop the segmenters for days of product time, start them again."""
    await load.send_all(_day(stack, -1, per_user=1))
    await stack.caught_up()
    names = [name for name in stack.running() if name.startswith("segmenter")]
    for name in names:
        stack.kill(name)
    for day in range(DAYS):
        stack.advance(timedelta(days=1))
        await load.send_all(_day(stack, day, per_user=EVENTS_A_DAY))
    for name in names:
        await stack.start_service(name, wait=False)
    await stack.caught_up()


def _day(stack: Stack, day: int, *, per_user: int) -> list[Sent]:
    return [
        Sent(f"backlog-{day}-{user}-{number}", f"daily{user}", stack.now(), FILLER)
        for number in range(per_user)
        for user in range(USERS)
    ]

"""Lanes in line are let in one after the other, and whoever leaves makes room for the next."""

import asyncio

from shared.lanes.line import Line


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_came_first_is_let_in_first_and_who_comes_again_last() -> None:
    room = asyncio.Semaphore(1)
    first, second = Line(room), Line(room)
    for each in (first, second):
        each.join()
    await settled()
    assert (first.is_let_in, second.is_let_in) == (True, False)

    first.leave()
    first.join()
    await settled()

    assert (first.is_let_in, second.is_let_in) == (False, True)


async def test_who_stands_in_line_and_asks_again_keeps_the_place() -> None:
    room = asyncio.Semaphore(1)
    lines = [Line(room) for _ in range(3)]
    for each in (*lines, lines[1]):
        each.join()
    await settled()

    lines[0].leave()
    await settled()

    assert [each.is_let_in for each in lines] == [False, True, False]
    assert not lines[1].open


async def test_whenever_a_lane_leaves_no_room_is_lost() -> None:
    room = asyncio.Semaphore(1)
    lines = [Line(room) for _ in range(4)]
    lines[0].join()
    lines[0].leave()  # before it has asked
    lines[1].join()
    lines[2].join()
    await settled()
    lines[2].leave()  # while it waits
    lines[3].join()
    await settled()
    lines[1].leave()
    lines[3].leave()  # in the moment in which it is let in
    await settled()

    assert not room.locked()
    lines[0].join()
    await settled()
    assert lines[0].is_let_in


async def test_who_does_not_stand_in_line_has_nothing_to_give_up() -> None:
    room = asyncio.Semaphore(1)

    Line(room).leave()

    await room.acquire()
    assert room.locked()

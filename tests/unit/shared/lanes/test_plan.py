"""The plan settles, moves as little as it can, and takes nothing from whoever may still write."""

from hypothesis import given
from hypothesis import strategies as st

from shared.database.lease import Partition
from shared.lanes.plan import Picture, plan_for

NAMES = ["a", "b", "c", "d", "e"]


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Any state of the world: live, leaving and dead workers, and partitions of any of them."""
    live = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    leaving = draw(st.sets(st.sampled_from(NAMES))) - live
    owners = draw(st.lists(st.one_of(st.none(), st.sampled_from(NAMES)), min_size=0, max_size=30))
    return Picture(
        {Partition("g", f"t{part % 2}", part): owner for part, owner in enumerate(owners)},
        live=frozenset(live),
        leaving=frozenset(leaving),
    )


def step(picture: Picture) -> Picture:
    """Let everybody act on one picture: all releases, then all claims."""
    owners = dict(picture.owners)
    plans = {worker: plan_for(worker, picture) for worker in sorted(picture.live)}
    for plan in plans.values():
        owners.update(dict.fromkeys(plan.release, None))
    for worker, plan in plans.items():
        for partition in plan.claim:
            assert picture.owners[partition] not in picture.live | picture.leaving
            owners[partition] = worker
    return Picture(owners, picture.live, picture.leaving)


def settled(picture: Picture) -> Picture:
    for _ in range(3):
        picture = step(picture)
    return picture


def loads(picture: Picture) -> dict[str, int]:
    owners = list(picture.owners.values())
    return {worker: owners.count(worker) for worker in picture.live}


@given(pictures())
def test_everything_is_shared_evenly_after_three_looks(picture: Picture) -> None:
    end = settled(picture)

    assert step(end) == end
    left = sum(owner in picture.leaving for owner in end.owners.values())
    assert sum(loads(end).values()) + left == len(picture.owners)
    if not left:
        assert max(loads(end).values()) - min(loads(end).values()) <= 1


@given(pictures())
def test_a_worker_that_lives_or_leaves_is_robbed_of_nothing(picture: Picture) -> None:
    protected = picture.live | picture.leaving

    for worker in picture.live:
        for partition in plan_for(worker, picture).claim:
            assert picture.owners[partition] not in protected


@given(pictures())
def test_no_two_workers_with_one_picture_want_the_same_partition(picture: Picture) -> None:
    claims = [each for worker in picture.live for each in plan_for(worker, picture).claim]

    assert len(claims) == len(set(claims))


@given(pictures())
def test_only_what_somebody_has_too_many_of_is_given_up(picture: Picture) -> None:
    before = loads(picture)
    least, extra = divmod(len(picture.owners), len(picture.live))

    moved = sum(len(plan_for(worker, picture).release) for worker in picture.live)

    # The fewest moves that lead to equal shares, when those who hold most keep the extra ones.
    dues = [least + 1] * extra + [least] * (len(picture.live) - extra)
    fewest = sum(
        max(0, held - due)
        for held, due in zip(sorted(before.values(), reverse=True), dues, strict=True)
    )
    assert moved == fewest


@given(pictures())
def test_keeping_and_releasing_together_are_what_is_mine(picture: Picture) -> None:
    for worker in picture.live:
        plan = plan_for(worker, picture)
        mine = sorted(each for each, owner in picture.owners.items() if owner == worker)
        assert [*plan.keep, *plan.release] == mine


@given(pictures())
def test_a_keeper_that_has_just_connected_takes_only_what_nobody_owns(picture: Picture) -> None:
    for worker in picture.live:
        patient = plan_for(worker, picture, may_take_from_dead=False)
        assert all(picture.owners[partition] is None for partition in patient.claim)


def test_a_worker_alone_takes_everything() -> None:
    owners = {Partition("g", "t", part): None for part in range(4)}

    plan = plan_for("a", Picture(owners, live=frozenset({"a"})))

    assert plan.claim == tuple(sorted(owners))


def test_no_partitions_mean_no_work() -> None:
    plan = plan_for("a", Picture({}, live=frozenset({"a"})))

    assert (plan.keep, plan.release, plan.claim) == ((), (), ())

"""Whose an id is follows from the set of claims, however they came."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.identity import (
    Claim,
    ClaimFault,
    earliest,
    fault_of,
    judge,
    resolve,
)

NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)
IDS = ("a", "b", "c", "d", "e")


def claim(claimed: str, target: str, minute: int, *, event_id: str = "") -> Claim:
    at = NINE + timedelta(minutes=minute)
    return Claim(claimed, target, at, "web", event_id or f"{claimed}>{target}@{minute}")


def parents(claims: Sequence[Claim]) -> dict[str, str]:
    return {claimed: each.target for claimed, each in resolve(claims).parents.items()}


claims_of_few_ids = st.lists(
    st.builds(claim, st.sampled_from(IDS), st.sampled_from(IDS), st.integers(0, 8)), max_size=14
)


def test_an_id_belongs_to_the_first_who_claims_it() -> None:
    resolved = resolve([claim("visitor", "bob", 2), claim("visitor", "ann", 1)])

    assert resolved.root_of("visitor") == "ann"
    assert resolved.rejected == {("visitor", "bob"): ClaimFault.CLAIMED_BY_ANOTHER}


def test_ids_that_lead_on_end_at_one_user() -> None:
    resolved = resolve([claim("c", "b", 1), claim("b", "a", 2), claim("d", "c", 3)])

    assert {resolved.root_of(each) for each in "abcd"} == {"a"}


def test_the_claim_that_would_close_a_circle_is_rejected() -> None:
    resolved = resolve([claim("a", "b", 1), claim("b", "c", 2), claim("c", "a", 3)])

    assert resolved.rejected == {("c", "a"): ClaimFault.MERGE_CYCLE}
    assert resolved.root_of("a") == "c"


def test_what_is_said_again_changes_nothing() -> None:
    resolved = resolve([claim("a", "b", 1), claim("a", "b", 5)])

    assert resolved.parents["a"].at == NINE + timedelta(minutes=1)
    assert resolved.rejected == {}


@pytest.mark.parametrize(
    ("claimed", "target", "fault"),
    [
        ("visitor", "ada", None),
        ("ada", "ada", ClaimFault.SELF_MERGE),
        ("", "ada", ClaimFault.MISSING_ID),
        ("visitor", "  ", ClaimFault.MISSING_ID),
        ("a" * 201, "ada", ClaimFault.ID_TOO_LONG),
        ("visitor", "a\x00b", ClaimFault.NUL_CHARACTER),
        ("anonymous", "ada", ClaimFault.JUNK_ID),
        ("visitor", "'NULL'", ClaimFault.JUNK_ID),
    ],
)
def test_a_claim_that_no_id_can_make_is_rejected_by_itself(
    claimed: str, target: str, fault: ClaimFault | None
) -> None:
    assert fault_of(claimed, target) is fault
    rejected = resolve([Claim(claimed, target, NINE, "web", "e")]).rejected
    assert rejected == ({} if fault is None else {(claimed, target): fault})


@given(claims_of_few_ids, st.randoms(use_true_random=False))
def test_the_order_in_which_claims_come_and_their_repeats_do_not_matter(
    claims: list[Claim], draw: random.Random
) -> None:
    shuffled = [*claims, *claims[:3]]
    draw.shuffle(shuffled)

    assert resolve(shuffled) == resolve(claims)


@given(claims_of_few_ids)
def test_every_id_ends_at_a_user_and_every_claim_holds_or_has_its_fault(
    claims: list[Claim],
) -> None:
    resolved = resolve(claims)

    for each in IDS:
        assert resolved.root_of(each) not in resolved.parents
    holding = {each.pair for each in resolved.parents.values()}
    assert holding | resolved.rejected.keys() == earliest(claims).keys()
    assert not holding & resolved.rejected.keys()


@given(claims_of_few_ids)
def test_an_earlier_claim_outdoes_every_later_one_on_the_same_id(claims: list[Claim]) -> None:
    for claimed, holding in resolve(claims).parents.items():
        earlier = [
            each
            for each in earliest(claims).values()
            if each.claimed == claimed and each.key < holding.key
        ]
        rejected = resolve(claims).rejected
        assert all(
            rejected[each.pair] in (ClaimFault.MERGE_CYCLE, ClaimFault.SELF_MERGE)
            for each in earlier
        )


@given(claims_of_few_ids)
def test_one_claim_after_the_other_comes_to_the_same_wherever_it_can_be_told(
    claims: list[Claim],
) -> None:
    known: list[Claim] = []
    for each in [one for one in claims if fault_of(one.claimed, one.target) is None]:
        before = resolve(known)
        told, fault = judge(
            each,
            holding=before.parents.get(each.claimed),
            root_of_target=before.root_of(each.target),
        )
        known.append(each)
        if not told or each.pair in earliest(known[:-1]):
            continue
        after = resolve(known)
        assert after.rejected.get(each.pair) is fault
        expected = {key: value.target for key, value in before.parents.items()}
        if fault is None:
            expected[each.claimed] = each.target
        assert parents(known) == expected
        # Why a claim does not hold may become another reason; that it does not stays so.
        assert after.rejected.keys() >= before.rejected.keys()

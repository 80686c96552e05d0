"""The shop's two files, as they come, are read to the last line."""

from collections import Counter
from datetime import date

import pytest

from deploy.demo.cdnow import Purchase, purchases


def what(purchase: Purchase) -> tuple[str, date, int, float]:
    return purchase.customer, purchase.day, purchase.discs, purchase.dollars


@pytest.mark.parametrize(
    ("sample", "number", "customers"), [(False, 69_659, 23_570), (True, 6_919, 2_357)]
)
def test_every_purchase_is_read_in_the_order_of_the_days(
    *, sample: bool, number: int, customers: int
) -> None:
    found = purchases(sample=sample)

    assert len(found) == number
    assert len({each.customer for each in found}) == customers
    assert found == sorted(found, key=lambda each: each.day)
    assert (found[0].day, found[-1].day) == (date(1997, 1, 1), date(1998, 6, 30))
    assert all(each.discs > 0 for each in found)
    assert min(each.dollars for each in found) == 0  # gifts and vouchers


@pytest.mark.parametrize("sample", [False, True])
def test_a_customers_orders_of_one_day_are_told_apart(*, sample: bool) -> None:
    found = purchases(sample=sample)

    assert len({(each.customer, each.number) for each in found}) == len(found)


def test_the_sample_holds_the_masters_own_purchases() -> None:
    master = Counter(what(each) for each in purchases(sample=False))
    sample = Counter(what(each) for each in purchases(sample=True))

    assert sample <= master

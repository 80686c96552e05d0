from deploy.local.restarts import AT_MOST, HEALED_S, LONGEST_S, Restarts


def test_a_program_that_keeps_ending_waits_longer_each_time_and_is_given_up_at_last() -> None:
    restarts, delays = Restarts(started_at=0.0), []
    while (delay := restarts.ended(at=0.0, status=1)) is not None:
        delays.append(delay)
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] == LONGEST_S
    assert len(delays) == AT_MOST


def test_a_program_that_ran_for_long_counts_from_the_beginning_again() -> None:
    restarts = Restarts(started_at=0.0)
    first = restarts.ended(at=1.0, status=1)
    restarts.started(at=2.0)
    assert restarts.ended(at=2.0 + HEALED_S, status=-9) == first


def test_a_bad_configuration_is_not_tried_again() -> None:
    assert Restarts(started_at=0.0).ended(at=1.0, status=2) is None

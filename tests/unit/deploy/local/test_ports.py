import socket
from collections.abc import Callable, Iterable

import pytest

from deploy.local import ports
from deploy.local.errors import LocalError
from deploy.local.plan import choose_ports, wishes


def free_unless(*busy: int) -> Callable[..., int]:
    def next_free(wanted: int, *, taken: Iterable[int] = ()) -> int:
        port = wanted
        while port in busy or port in list(taken):
            port += 1
        return port

    return next_free


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", ports.any_free())) as server:
        busy = server.getsockname()[1]
        assert not ports.is_free(busy)
        assert ports.next_free(busy) > busy


def test_any_free_port_lies_below_those_that_the_kernel_hands_out() -> None:
    assert ports.any_free() <= ports.HIGHEST


def test_the_wished_ports_are_taken_without_a_word_where_they_are_free() -> None:
    chosen, notices = choose_ports({"ingest": 8100, "api": 8200}, next_free=free_unless())
    assert (chosen, notices) == ({"ingest": 8100, "api": 8200}, [])


def test_a_busy_port_is_replaced_and_named() -> None:
    chosen, notices = choose_ports({"ingest": 8100}, next_free=free_unless(8100, 8101))
    assert chosen == {"ingest": 8102}
    assert notices == ["port 8100 is busy: ingest listens on 8102 instead"]


def test_two_programs_never_get_the_same_port() -> None:
    chosen, _ = choose_ports({"ingest": 8100, "api": 8100}, next_free=free_unless())
    assert chosen == {"ingest": 8100, "api": 8101}


def test_a_wish_for_port_0_is_a_wish_for_any_and_no_notice_is_due() -> None:
    chosen, notices = choose_ports({"ingest": 0}, next_free=free_unless())
    assert chosen["ingest"] > 0
    assert notices == []


def test_wishes_come_from_the_environment() -> None:
    found = wishes({"EBBTIDE_API_PORT": "9000"})
    assert found["api"] == 9000
    assert found["ingest"] == 8100


@pytest.mark.parametrize("text", ["http", "-1", "40000", "81oo"])
def test_a_port_that_can_not_be_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(LocalError, match="EBBTIDE_API_PORT"):
        wishes({"EBBTIDE_API_PORT": text})

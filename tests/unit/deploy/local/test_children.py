"""A program is ready when it answers itself: what others answer on its port does not count."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import children, ports
from deploy.local.errors import DidNotStart

LISTENS = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
server.accept()
"""


STARTS_ONE_THAT_STAYS = """
import subprocess, sys
from deploy.local.children import bound
subprocess.run(bound([sys.executable, "-c", "print('here', flush=True); input()"]))
"""


@pytest.fixture
def stranger() -> Iterator[int]:
    """Give a port that this process listens on."""
    with socket.create_server(("127.0.0.1", ports.any_free())) as server:
        yield server.getsockname()[1]


def test_the_answer_of_a_stranger_on_the_port_does_not_count(stranger: int, tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    child = children.spawn([sys.executable, "-c", LISTENS, str(stranger)], log=log)

    with pytest.raises(
        DidNotStart, match=f"ended with status 1: .*taken port {stranger}"
    ) as failed:
        children.wait_until(
            lambda: children.listens(stranger),
            child=child,
            port=stranger,
            what="it",
            log=log,
            within_s=30,
        )

    assert "Address already in use" in str(failed.value)


def test_a_program_that_listens_itself_is_ready(tmp_path: Path) -> None:
    log, port = tmp_path / "program.log", ports.any_free()
    child = children.spawn([sys.executable, "-c", LISTENS, str(port)], log=log)
    try:
        children.wait_until(lambda: True, child=child, port=port, what="it", log=log, within_s=30)
        assert children.serves(child.pid, port)
    finally:
        children.end(child)
    assert not children.serves(child.pid, port)
    assert children.taken_port(port) == ""


def test_a_bound_program_ends_with_the_one_that_started_it_even_where_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_THAT_STAYS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "here\n"
        parent.kill()
        assert parent.stdout.read() == ""  # the end, once nobody holds the pipe

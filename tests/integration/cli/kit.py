"""`ebbtide` as a process, and servers on this machine that answer it as a test says."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
KEY = "a-key-that-nobody-may-see"
Answer = tuple[int, Any, dict[str, str]]
TAKEN: Answer = (200, {"ok": True, "errors": []}, {})


class Server:
    """Answers by its script, one after the other, and then as always; keeps what it was asked."""

    def __init__(self, *script: Answer, always: Answer = TAKEN) -> None:
        self.script = list(script)
        self.always = always
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.before_answer: Callable[[int], None] = lambda _: None
        self.url = ""

    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies for event in body["events"]]

    def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        self.headers.append(headers)
        self.bodies.append(json.loads(body) if body else None)
        self.before_answer(len(self.bodies))
        return self.script.pop(0) if self.script else self.always


@contextmanager
def served(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

        def do_GET(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content, more = server.answer(headers, body)
            raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**more, "content-length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # of a client that was ended meanwhile
                self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _listen_to_ctrl_c() -> None:
    """Undo what is inherited where the tests themselves run in the background: there SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Shell:
    """A directory from which commands are run, with variables for one server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            **{name: value for name, value in os.environ.items() if "EBBTIDE" not in name},
            "EBBTIDE_LOCAL_DIR": str(directory / "local"),
            "PYTHONPATH": str(ROOT),
        }

    def toward(self, server: Server) -> None:
        for service in ("INGEST", "API"):
            self.environ[f"EBBTIDE_{service}_URL"] = server.url
        self.environ |= {"EBBTIDE_WRITE_KEY": KEY, "EBBTIDE_API_KEY": KEY}

    def write(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content)
        return path

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=self.directory,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_listen_to_ctrl_c,  # noqa: PLW1509  only the test's own thread forks here
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Return the status, what was printed, and what was said of errors and progress."""
        process = self.begin(*words)
        printed, said = process.communicate(timeout=60)
        assert KEY not in printed + said
        return process.returncode, printed, said

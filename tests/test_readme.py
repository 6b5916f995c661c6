"""The snippet on the front page, executed against a service of its dialect."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_clients_snippet_completes_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is written, but for the port: a body goes out, two words mean pending, one the end."""
    states = iter(["queued", "running", "done"])
    bodies: list[object] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, {"id": 7, "state": next(states)})

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(202, {"id": 7})

        def answer(self, code: int, document: object) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (snippet,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        code = snippet.replace(":8000", f":{server.server_port}").replace(
            '"exponential", 0.5', '"exponential", 0.01'
        )
        exec(compile(code, str(README), "exec"), {})  # noqa: S102 - our own page
    finally:
        server.shutdown()
        server.server_close()
    assert capsys.readouterr().out == "completed\n"
    assert bodies == [{"video": "a.mp4"}]

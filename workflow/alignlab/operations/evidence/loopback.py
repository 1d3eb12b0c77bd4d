"""An endpoint on this machine that answers the same request with the same words.

The experiments of `config/evidence` ask it. An answer is a function of the request, so old and new
code get the same replies where they send the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

NOWHERE = "http://127.0.0.1:9/v1"
"""What the catalog says of where it is: which port is free is known only when it starts."""

USAGE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}


@contextmanager
def serving() -> Iterator[str]:
    """The address of an endpoint that answers until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(sent: dict[str, Any]) -> str:
    """A verdict in the form that the request asks for, or some words."""
    number = int(hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:8], 16)
    if form := _form(sent):
        verdicts = {
            name: {"reason": f"Because of {number}.", "score": _pick(asked["score"], number + at)}
            for at, (name, asked) in enumerate(form.items())
        }
        return json.dumps(verdicts)
    return f"This is answer {number}.\n\n- It has {number % 7} parts.\n- I cannot say more."


def _form(sent: dict[str, Any]) -> dict[str, Any]:
    """The example of a verdict that a judge is shown; nothing where none is asked for."""
    text = "\n".join(str(message["content"]) for message in sent.get("messages", ()))
    decoder = json.JSONDecoder()
    for at, letter in enumerate(text):
        if letter != "{":
            continue
        try:
            found, _ = decoder.raw_decode(text, at)
        except ValueError:
            continue
        if found and all(isinstance(f, dict) and "score" in f for f in found.values()):
            return dict(found)
    return {}


def _pick(words: str, number: int) -> str:
    listed = words.split(" | ")
    return listed[number % len(listed)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, is_chat = reply(sent), "messages" in sent
        said = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        body = {
            **{"id": "1", "created": 1, "model": sent.get("model", "")},
            "object": "chat.completion" if is_chat else "text_completion",
            "choices": [{"index": 0, "finish_reason": "stop", **said}],
            "usage": USAGE,
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
        """Say nothing."""

"""A real endpoint on the loopback that answers by plan, for tests."""

import json
import multiprocessing
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUBRIC = {
    "name": "test/two-aspects",
    "category": None,
    "instructions": "Rate the answer:\n{aspects}",
    "case": "{query}\n{answer}",
    "ask": "{aspect} ({scale}):",
    "aspects": [
        {
            "name": name,
            "label": name.title(),
            "meaning": "is it?",
            "levels": {},
            "says": ["1", "2", "3", "4", "5"],
            "values": [10.0, 20.0, 30.0, 40.0, 50.0],
        }
        for name in ("help-fulness", "depth")
    ],
}
USAGE = {"prompt_tokens": 40, "completion_tokens": 20}


def verdicts(first, second="3"):
    """What a judge says, as JSON."""
    scores = {"help-fulness": first, "depth": second}
    return json.dumps({name: {"reason": f"is {s}", "score": s} for name, s in scores.items()})


def said(text, finish_reason="stop", usage=USAGE):
    """The body of an HTTP answer in completions form."""
    choice = {"index": 0, "text": text, "finish_reason": finish_reason}
    return json.dumps({"object": "text_completion", "choices": [choice], "usage": usage})


def question(sent):
    """What was asked last, in chat form or in URIAL's frame."""
    if "messages" in sent:
        return sent["messages"][-1]["content"]
    return sent["prompt"].rpartition("# Query:\n```\n")[2]


def completion(content, finish_reason="stop", refusal=None, usage=USAGE, **more):
    """The body of an HTTP answer."""
    message = {"role": "assistant", "content": content, "refusal": refusal, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage})


class Endpoint(ThreadingHTTPServer):
    """Answers a case by the first word of its text.

    Attributes:
        plan: word → function of (handler, how often it was asked before), which answers.
        calls: how often each was asked.
        times: when.
        bodies: what was sent.
        paths: where to, in the same order.
        peak: calls that were under way at a time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, plan):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan
        self.calls, self.times, self.bodies, self.paths = Counter(), {}, [], []
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.under_way = self.peak = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """Clients that are killed or give up are part of the plan."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        word = question(sent).split()[0]
        with self.server.lock:
            before = self.server.calls[word]
            self.server.calls[word] += 1
            self.server.times.setdefault(word, []).append(time.monotonic())
            self.server.bodies.append(sent)
            self.server.paths.append(self.path)
            self.server.under_way += 1
            self.server.peak = max(self.server.peak, self.server.under_way)
        try:
            self.server.plan(word)(self, before)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def say(self, body, status=200, **headers):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing."""


def says(body, status=200, **headers):
    return lambda handler, before: handler.say(body, status, **headers)


def fails(status, message="no", code=None, param=None, **headers):
    error = {"message": message, "code": code, "param": param}
    return says(json.dumps({"error": error}), status, **headers)


def hangs(handler, before):
    handler.server.closing.wait(5)


def drips(handler, before):
    """Bytes arrive all the time, and never the last one."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b" ")


def drops(handler, before):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def once(fault, then):
    return lambda handler, before: (then if before else fault)(handler, before)


@contextmanager
def serving(plan):
    """An endpoint with this plan, in threads of this process."""
    server = Endpoint(plan)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def stored(path):
    """First words of the answers in a file of replies, as its complete lines have them."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    texts = [json.loads(line).get("reply", {}).get("text") for line in lines]
    return {text.split(":")[0] for text in texts if text}


def kill_at_work(server, seconds, ask, *given):
    """A process asks until it has made a call and so many seconds have passed."""
    context = multiprocessing.get_context("forkserver")
    loaded = [
        "__main__",
        "pytest",
        "alignlab.endpoints.respondent",
        "alignlab.judging.openai_judge",
    ]
    context.set_forkserver_preload(loaded)
    process = context.Process(target=ask, args=given)
    before = server.calls.total()
    process.start()
    while server.calls.total() == before and process.is_alive():
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode == -9

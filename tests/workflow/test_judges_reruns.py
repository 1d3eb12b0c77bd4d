"""What an endpoint fails is asked again by the next run, and nothing else is."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from alignlab.core import tables
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan

EXPERIMENT = {
    "name": "judged",
    "title": "An arm that an endpoint judges",
    "prompts": [{"dataset": "smoke-forbidden", "take": 2, "sample": 0}],
    "baseline": "zero-shot",
    "decoding": {"max_new_tokens": 12},
    "engine": {"name": "fake", "dtype": "float32"},
    "embedder": None,
    "arms": [{"name": "zero-shot", "model": "tiny-base", "method": {"kind": "zero-shot"}}],
    "judges": [
        {"name": "paid", "judge": "paid", "rubrics": ["judge/safety"], "min_coverage": 0.9},
    ],
}
TABLE = "results/judged/tables/statistics.parquet"
GOOD = json.dumps({"safety": {"reason": "It declines.", "score": "5"}})


@pytest.fixture
def endpoint():
    """A server that answers every call well but the second and third; `calls` counts them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            server.calls += 1
            text = "I would rather talk." if server.calls in (2, 3) else GOOD
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
            usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
            reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
            body = json.dumps(reply | {"choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.calls = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def judged(copied, endpoint):
    """A checkout with the experiment, whose judge is behind the endpoint."""
    checkout = copied()
    path = checkout.folder / "config/experiments/judged.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    entry = {"kind": "openai", "model": "m", "key": None, "concurrency": 1}
    entry["base_url"] = f"http://127.0.0.1:{endpoint.server_port}/v1"
    entry["price"] = {"prompt": 1, "completion": 2}
    checkout.edit("config/catalog/judges.yaml", lambda judges: judges.update(paid=entry))
    return checkout


def test_a_failed_row_is_asked_again_and_then_the_table_is_complete(judged, endpoint):
    run = ("--config", "experiment=judged", "--", TABLE)
    judged.snakemake(*run)
    assert endpoint.calls == 2
    assert statuses(judged) == ["scored", "unparseable"]
    assert mean(judged) == (None, 0.5)

    again = {"judge_responses": 1, "summarise_metrics": 1}
    for calls, found in ((3, ["scored", "unparseable"]), (4, ["scored", "scored"])):
        assert judged.planned("judged", [TABLE]) == again
        judged.snakemake(*run)
        assert endpoint.calls == calls
        assert statuses(judged) == found
    assert mean(judged) == (5, 1)

    # A price changes no score, so it asks nothing.
    free = yaml.safe_load((judged.folder / "config/catalog/judges.yaml").read_text())["paid"]
    assert free.pop("price")
    judged.edit("config/catalog/judges.yaml", lambda judges: judges.update(paid=free))
    assert judged.planned("judged", [TABLE]) == {}


def statuses(checkout):
    (file,) = (checkout.folder / "results/store/judgements").glob("paid.zero-shot-*.parquet")
    return sorted(row["status"] for row in tables.rows("judgements", file))


def mean(checkout):
    """Mean and coverage of the judged metric over all prompts."""
    rows = tables.rows("statistics", checkout.folder / TABLE)
    found = [row for row in rows if row["metric"] == "paid:safety" and row["dataset"] == "all"]
    return next((row["mean"], row["coverage"]) for row in found if row["category"] == "all")


def test_answers_wait_until_a_local_judge_is_known_to_be_scorable(copied):
    checkout = copied()
    judge = {"name": "local", "judge": "small", "rubrics": ["judge/safety"]}
    path = checkout.folder / "config/experiments/judged.yaml"
    path.write_text(yaml.safe_dump({**EXPERIMENT, "judges": [judge]}))
    entry = {"kind": "local", "model": "tiny-aligned"}
    checkout.edit("config/catalog/judges.yaml", lambda judges: judges.update(small=entry))
    part = "results/store/responses/{}.parts/0of1.parquet"
    with contextlib.chdir(checkout.folder):
        key = Plan(load_experiment("judged")).responses["zero-shot"].key
    jobs = checkout.planned("judged", [part.format(key)])
    assert jobs == {
        "check_judge": 1,
        "fetch_model": 2,
        "fetch_prompts": 1,
        "generate_responses": 1,
    }

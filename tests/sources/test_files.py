"""huggingface_hub against a loopback server that answers as a hub does."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REVISION = "a" * 40
OTHER = "b" * 40
SAFE = {"model.safetensors": b"weights", "config.json": b"{}", "run.py": b"never fetched"}
REPOSITORIES = {
    "owner/safe": SAFE,
    "owner/pickled": {"pytorch_model.bin": b"x", "extra.ckpt": b"x", "config.json": b"{}"},
    "owner/gated": SAFE,
    "owner/crowded": {
        **SAFE,
        "consolidated.safetensors": b"again",
        "original/params.json": b"{}",
        "onnx/nested/config.json": b"{}",
        "1_Pooling/config.json": b"{}",
    },
    "owner/data": {"data/test.jsonl": b'{"prompt": "why"}\n'},
}


class Hub(BaseHTTPRequestHandler):
    """Tree listings and files; `owner/gated` lists its files but gives none away."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.split("?")[0].removeprefix("/api").removeprefix("/models")
        parts = path.removeprefix("/datasets").strip("/").split("/")
        repo, verb, revision, file = "/".join(parts[:2]), parts[2], parts[3], "/".join(parts[4:])
        self.server.seen.append(file)
        if repo not in REPOSITORIES:
            self.reply(404, {"X-Error-Code": "RepoNotFound"})
        elif revision != REVISION:
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        elif verb == "tree":
            listed = REPOSITORIES[repo].items()
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": name.encode().hex()}
                for name, content in listed
            ]
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        elif repo == "owner/gated":
            self.reply(401, {"X-Error-Code": "GatedRepo"})
        elif file not in REPOSITORIES[repo]:
            self.reply(404, {"X-Error-Code": "EntryNotFound"})
        else:
            content = REPOSITORIES[repo][file]
            headers = {"ETag": f'"{file.encode().hex()}"', "X-Repo-Commit": REVISION}
            self.reply(200, headers, content, body)

    def reply(self, status, headers, content=b"", body=True):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path):
    """A running hub, and a function that fetches from it in a process of its own.

    huggingface_hub reads its address when it is imported, hence the process.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def fetch(call, repo, revision=REVISION, file=None, **env):
        code = (
            "import sys\n"
            "from alignlab.core.errors import AlignlabError\n"
            "from alignlab.sources.config import HubConfig\n"
            "from alignlab.sources import files\n"
            f"source = HubConfig(kind='hub', repo={repo!r}, revision={revision!r}, file={file!r})\n"
            f"try:\n    print(files.{call}(source))\n"
            "except AlignlabError as error:\n    sys.exit(f'message: {error}')\n"
        )
        address = f"http://127.0.0.1:{server.server_port}"
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**clean, **settings, **env},
            check=False,
        )

    fetch.server = server
    yield fetch
    server.shutdown()
    server.server_close()


def refusal(done):
    assert "Traceback" not in done.stderr
    return done.stderr.split("message: ")[1]


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_snapshot_holds_weights_and_config_and_no_code(hub):
    done = hub("hub_folder", "owner/safe")
    assert names(done.stdout.strip()) == ["config.json", "model.safetensors"], done.stderr
    assert "run.py" not in hub.server.seen


def test_other_formats_of_the_weights_are_never_fetched(hub):
    done = hub("hub_folder", "owner/crowded")
    folder = Path(done.stdout.strip())
    assert names(folder) == ["1_Pooling", "config.json", "model.safetensors"], done.stderr
    assert names(folder / "1_Pooling") == ["config.json"]
    assert not [f for f in hub.server.seen if f.startswith(("consolidated", "original", "onnx"))]


def test_what_is_cached_needs_no_hub(hub):
    first = hub("hub_folder", "owner/safe").stdout
    assert first == hub("hub_folder", "owner/safe", HF_HUB_OFFLINE="1").stdout != ""


def test_a_dataset_is_the_file_the_catalog_names(hub):
    path = hub("hub_file", "owner/data", file="data/test.jsonl").stdout.strip()
    assert Path(path).read_text() == '{"prompt": "why"}\n'


def test_pickled_weights_are_refused_by_name_and_never_downloaded(hub):
    message = refusal(hub("hub_folder", "owner/pickled"))
    assert "owner/pickled: only pickled weights (extra.ckpt, pytorch_model.bin)" in message
    assert "only safetensors or GGUF" in message
    assert "pytorch_model.bin" not in hub.server.seen


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"repo": "owner/gated"}, ["owner/gated is gated", "licence", "HF_TOKEN"]),
        ({"repo": "owner/absent"}, ["owner/absent: no such repository"]),
        ({"repo": "owner/safe", "revision": OTHER}, ["owner/safe", OTHER, "no such revision"]),
        ({"repo": "owner/safe", "HF_HUB_OFFLINE": "1"}, ["owner/safe", "out of reach"]),
    ],
)
def test_each_refusal_says_what_to_do(hub, call, expected):
    message = refusal(hub("hub_folder", **call))
    assert all(part in message for part in expected), message


def test_a_dataset_without_its_file(hub):
    assert "no file 'absent.csv'" in refusal(hub("hub_file", "owner/data", file="absent.csv"))
    assert "needs `file`" in refusal(hub("hub_file", "owner/data"))
    assert "is gated" in refusal(hub("hub_file", "owner/gated", file="config.json"))

"""huggingface_hub against a loopback server that answers as a hub does."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REVISION = "a" * 40
OTHER = "b" * 40
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SAFE = {"model.safetensors": b"weights", "config.json": b"{}", "run.py": b"never fetched"}
REPOSITORIES = {
    "owner/safe": SAFE,
    "owner/large": {"model.safetensors": b"heavy", "config.json": b"[]"},
    "owner/filewise": {**SAFE, "tokenizer_config.json": b'{"chat_template": "x"}'},
    "owner/pickled": {"pytorch_model.bin": b"x", "extra.ckpt": b"x", "config.json": b"{}"},
    "owner/gated": SAFE,
    "owner/crowded": {
        **SAFE,
        "consolidated.safetensors": b"again",
        "original/params.json": b"{}",
        "onnx/nested/config.json": b"{}",
        "1_Pooling/config.json": b"{}",
    },
    "owner/gguf": {"m.gguf": b"GGUF", "config.json": b"{}", "README.md": b"#"},
    "owner/quants": {"m-Q4.gguf": b"GGUF4", "q8/m-Q8.gguf": b"GGUF8", "config.json": b"{}"},
    "owner/parts": {"m-00001-of-00002.gguf": b"GGUF", "m-00002-of-00002.gguf": b"GGUF"},
    "owner/mistral": {"consolidated.safetensors": b"x", "params.json": b"{}"},
    "owner/adapter": {"adapter_model.safetensors": b"x", "adapter_config.json": b"{}"},
    "owner/merged": {**SAFE, "adapter_config.json": b"{}"},
    "owner/unindexed": {"model-00001-of-00002.safetensors": b"x", "config.json": b"{}"},
    "owner/empty": {".gitattributes": b""},
    "owner/busy": SAFE,
    "owner/data": {"data/test.jsonl": b'{"prompt": "why"}\n', "big.parquet": b"PAR1"},
}
# What a repository always answers: status, headers.
FAILING = {
    "owner/s401": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
    "owner/s403": (403, {"X-Error-Message": "Access restricted"}),
    "owner/s429": (429, {"Retry-After": "7"}),
    "owner/s503": (503, {"X-Error-Message": "Under maintenance"}),
}
# What `owner/busy` answers at first.
BUSY = [(429, {"Retry-After": "3"}), (503, {"Retry-After": "2"})]
LARGE = (".safetensors", ".gguf", ".bin", ".parquet")


def git(content):
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def entry(name, content):
    """As the hub lists a file: what git-lfs holds has its SHA-256 beside the one of git."""
    found = {"type": "file", "path": name, "size": len(content), "oid": git(content)}
    if name.endswith(LARGE):
        lfs = {"oid": sha256(content), "size": len(content), "pointerSize": len(POINTER)}
        found |= {"oid": git(POINTER), "lfs": lfs}
    return found


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
        self.server.seen.append((repo, file))
        if repo in FAILING:
            self.reply(*FAILING[repo])
        elif repo == "owner/busy" and self.server.busy:
            self.reply(*self.server.busy.pop(0))
        elif repo == "owner/html":
            self.reply(200, {"Content-Type": "text/html"}, b"<html>log in</html>", body)
        elif repo not in REPOSITORIES:
            self.reply(404, {"X-Error-Code": "RepoNotFound"})
        elif revision != REVISION:
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        elif verb == "tree":
            entries = [entry(*item) for item in REPOSITORIES[repo].items()]
            self.reply(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        elif repo == "owner/gated":
            self.reply(401, {"X-Error-Code": "GatedRepo"})
        elif file not in REPOSITORIES[repo]:
            self.reply(404, {"X-Error-Code": "EntryNotFound"})
        else:
            content = REPOSITORIES[repo][file]
            tag = sha256(content) if file.endswith(LARGE) else git(content)
            self.reply(200, {"ETag": f'"{tag}"', "X-Repo-Commit": REVISION}, content, body)

    def reply(self, status, headers, content=b"", body=True):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


# huggingface_hub reads its address when it is imported, hence a process of its own for each state
# of the hub. Its waits are written down and not waited.
CHILD = """
import json, sys, time
waits = []
time.sleep = waits.append
import huggingface_hub
from alignlab.core.errors import AlignlabError
from alignlab.sources.config import HubConfig
from alignlab.sources import hub

found = []
for call, repo, revision, file in json.load(sys.stdin):
    waits.clear()
    try:
        if call == "one":
            said = huggingface_hub.hf_hub_download(repo, file, revision=revision)
        else:
            source = HubConfig(kind="hub", repo=repo, revision=revision, file=file)
            said = str(getattr(hub, call)(source))
    except AlignlabError as error:
        said = f"message: {error}"
    found.append([said, [wait for wait in waits if wait >= 1]])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def server():
    """A running hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen, server.busy = [], [*BUSY]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(port, home, *calls, **env):
    """What each call (function, repository, revision, file) gives or says, and its waits."""
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        env={**clean, **settings, "HF_HUB_DISABLE_XET": "1", **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def model(repo, file=None, revision=REVISION):
    return ("hub_model", f"owner/{repo}", revision, file)


def data(repo, file=None):
    return ("hub_file", f"owner/{repo}", REVISION, file)


CALLS = {
    **{name: model(name) for name in ("safe", "large", "crowded", "gguf", "busy", "merged")},
    "Q8": model("quants", "q8/m-Q8.gguf"),
    "one": ("one", "owner/filewise", REVISION, "model.safetensors"),
    "config": ("one", "owner/filewise", REVISION, "config.json"),
    "small data": data("data", "data/test.jsonl"),
    "large data": data("data", "big.parquet"),
    **{name: model(name) for name in ("pickled", "gated", "absent", "quants", "parts", "mistral")},
    **{name: model(name) for name in ("adapter", "unindexed", "empty", "html")},
    **{name: model(name) for name in ("s401", "s403", "s429", "s503")},
    "other revision": model("safe", revision=OTHER),
    "no GGUF": model("safe", "m.gguf"),
    "no such GGUF": model("quants", "m-Q5.gguf"),
    "part": model("parts", "m-00001-of-00002.gguf"),
    "tensors as file": model("safe", "model.safetensors"),
    "no such data": data("data", "absent.csv"),
    "unnamed data": data("data"),
    "gated data": data("gated", "config.json"),
    **{f"{name} data": data(name, "a.csv") for name in ("s401", "s503", "html")},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def online(server, cache):
    """What every call gives while the hub answers, by its name in CALLS."""
    return dict(zip(CALLS, fetch(server.server_port, cache, *CALLS.values()), strict=True))


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def seen(server, repo):
    return [file for name, file in server.seen if name == f"owner/{repo}"]


def test_a_snapshot_holds_weights_and_config_and_no_code(online, server):
    assert names(online["safe"][0]) == ["config.json", "model.safetensors"]
    assert "run.py" not in seen(server, "safe")


def test_other_formats_of_the_weights_are_never_fetched(online, server):
    folder = Path(online["crowded"][0])
    assert names(folder) == ["1_Pooling", "config.json", "model.safetensors"]
    assert names(folder / "1_Pooling") == ["config.json"]
    fetched = seen(server, "crowded")
    assert not [f for f in fetched if f.startswith(("consolidated", "original", "onnx"))]


def test_a_dataset_is_the_file_the_catalog_names(online):
    assert Path(online["small data"][0]).read_text() == '{"prompt": "why"}\n'


@pytest.mark.parametrize(
    ("call", "repo", "file"), [("gguf", "gguf", "m.gguf"), ("Q8", "quants", "q8/m-Q8.gguf")]
)
def test_of_a_gguf_repository_one_file_is_fetched(online, server, call, repo, file):
    """bartowski and others keep a dozen quantisations in one repository."""
    assert Path(online[call][0]).read_bytes() == REPOSITORIES[f"owner/{repo}"][file]
    assert set(seen(server, repo)) == {"", file}


def test_pickled_weights_are_never_downloaded(online, server):
    assert "pytorch_model.bin" not in seen(server, "pickled")


REFUSED = {
    "pickled": "owner/pickled: only pickled weights (extra.ckpt, pytorch_model.bin); only safe",
    "gated": "owner/gated is gated: accept its licence on its page on the hub, then set HF_TOKEN",
    "absent": "owner/absent: no such repository",
    "other revision": f"owner/safe at revision {OTHER}: the repository has no such revision",
    "quants": "owner/quants: several GGUF files (m-Q4.gguf, q8/m-Q8.gguf); name one as `file`",
    "parts": "m-00001-of-00002.gguf: one of the parts of a GGUF file; join them with",
    "part": "m-00001-of-00002.gguf: one of the parts of a GGUF file; join them with",
    "no GGUF": "owner/safe: file: no file 'm.gguf'; there is no GGUF file",
    "no such GGUF": "file: no file 'm-Q5.gguf'; there is m-Q4.gguf, q8/m-Q8.gguf",
    "tensors as file": "file: model.safetensors: of a model only a GGUF file is named",
    "mistral": "owner/mistral: only weights in Mistral's own format (consolidated.safetensors)",
    "adapter": "owner/adapter: adapter_config.json: an adapter, which transformers would put",
    "merged": "owner/merged: adapter_config.json: an adapter, which transformers would put",
    "unindexed": "expected model.safetensors, or model.safetensors.index.json that says what",
    "empty": "owner/empty: no weights; only safetensors or GGUF are loaded",
    "no such data": "the repository has no file 'absent.csv'",
    "unnamed data": "owner/data: a dataset needs `file`, the one file to read",
    "gated data": "owner/gated is gated",
    "html": "what answers is no hub (HF_ENDPOINT, or a proxy between)",
    "html data": "what answers is no hub (HF_ENDPOINT, or a proxy between)",
    "s401": "the hub answered 401: it refuses your token: HF_TOKEN, or the one that `hf auth login`"
    " has saved, has expired or is wrong. Set a new one; a public repository needs none",
    "s401 data": "the hub answered 401: it refuses your token: HF_TOKEN, or the one that",
    "s403": "the hub answered 403: your token (HF_TOKEN, or the one that `hf auth login` has saved)"
    " does not give access; take one that may read this repository: Access restricted",
    "s429": "the hub answered 429: too many requests from this account or address; wait 7 seconds",
    "s503": "the hub answered 503: it fails; try again later: Under maintenance",
    "s503 data": "the hub answered 503: it fails; try again later: Under maintenance",
}


@pytest.mark.parametrize("call", REFUSED)
def test_each_refusal_says_what_is_wrong_and_what_to_do(online, call):
    said, _ = online[call]
    assert said.startswith("message: ")
    assert REFUSED[call] in said


def test_what_the_hub_asks_to_wait_is_waited(online):
    """A second more, for seconds are rounded; and then the download goes on."""
    folder, waits = online["busy"]
    assert names(folder) == ["config.json", "model.safetensors"]
    assert waits == [4, 3]
    assert set(online["s429"][1]) == {8}


@pytest.fixture(scope="module")
def offline(online, server, cache):
    """The same cache without network; and the hub at a port where nobody listens."""
    calls = {name: CALLS[name] for name in ("safe", "gguf", "small data", "one")}
    calls |= {"filewise": model("filewise"), "never": model("other")}
    found = fetch(server.server_port, cache, *calls.values(), HF_HUB_OFFLINE="1")
    (nobody,) = fetch(9, cache, model("filewise"))
    return dict(zip(calls, found, strict=True)) | {"nobody": nobody}


@pytest.mark.parametrize("call", ["safe", "gguf", "small data"])
def test_what_is_cached_needs_no_hub(online, offline, call):
    assert offline[call] == online[call]


@pytest.mark.parametrize("call", ["filewise", "nobody", "never"])
def test_a_cache_that_no_list_shows_to_be_whole_is_no_model(offline, call):
    """Filled file by file, it lacks the chat template (huggingface_hub #4624)."""
    assert names(Path(offline["one"][0]).parent) == ["config.json", "model.safetensors"]
    assert "out of reach, and the local cache does not hold all of it" in offline[call][0]


@pytest.fixture(scope="module")
def damaged(online, server, cache, tmp_path_factory):
    """Calls on a copy of the cache in which a byte of each file is another, or a file is gone."""
    copy = tmp_path_factory.mktemp("damage") / "cache"
    shutil.copytree(cache, copy, symlinks=True)

    def change(call, name, edit):
        blob = (copy / Path(online[call][0]).relative_to(cache) / name).resolve()
        blob.write_bytes(edit(bytearray(blob.read_bytes())))
        return blob

    def flip(content):
        content[1] ^= 1
        return content

    blobs = {
        "safe": change("safe", "model.safetensors", flip),
        "crowded": change("crowded", "1_Pooling/config.json", flip),
        "gguf": change("gguf", "", flip),
        "Q8": change("Q8", "", lambda content: content[:-1]),
        "small data": change("small data", "", flip),
        "large data": change("large data", "", flip),
    }
    (copy / Path(online["large"][0]).relative_to(cache) / "model.safetensors").unlink()
    calls = {**{name: CALLS[name] for name in blobs}, "large": CALLS["large"]}
    without = fetch(server.server_port, copy, *calls.values(), HF_HUB_OFFLINE="1")
    for blob in blobs.values():
        blob.unlink()
    mended = fetch(server.server_port, copy, *calls.values())
    return blobs, dict(zip(calls, without, strict=True)), dict(zip(calls, mended, strict=True))


@pytest.mark.parametrize("call", ["safe", "crowded", "gguf", "Q8", "small data", "large data"])
def test_a_byte_that_differs_from_the_hubs_is_found_and_mended(damaged, call):
    """huggingface_hub #3643: nothing there compares the content of a cached file."""
    blobs, found, mended = damaged
    assert f"message: {blobs[call]}: damaged: it is not what the hub has as " in found[call][0]
    assert "remove it and run again" in found[call][0]
    assert not mended[call][0].startswith("message: ")


def test_a_file_that_is_missing_in_the_cache_is_no_smaller_model(damaged):
    _, found, mended = damaged
    assert "the hub is out of reach" in found["large"][0]
    assert names(mended["large"][0]) == ["config.json", "model.safetensors"]


def test_a_cache_without_links_is_compared_with_the_hubs_list(online, server, cache, tmp_path):
    """As `rsync -L` or a file system without symbolic links leaves it."""
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    shutil.rmtree(copy / "hub" / "models--owner--safe" / "trees")
    path = copy / Path(online["safe"][0]).relative_to(cache) / "model.safetensors"
    path.write_bytes(b"WEIGHTS")
    ((said, _),) = fetch(server.server_port, copy, CALLS["safe"])
    assert f"{path}: damaged" in said


def test_what_several_repositories_share_is_compared_by_its_own_name(
    online, server, cache, tmp_path
):
    """huggingface_hub keeps xet files once for all, by the hash of xet, which is no SHA-256."""
    copy, places = tmp_path / "cache", {}
    shutil.copytree(cache, copy, symlinks=True)
    for name in ("safe", "gguf"):
        found = copy / Path(online[name][0]).relative_to(cache)
        blob = (found / "model.safetensors" if found.is_dir() else found).resolve()
        shared = copy / "hub" / "blobs" / "ff" / (name[0] * 64).replace("s", "f").replace("g", "e")
        shared.parent.mkdir(parents=True, exist_ok=True)
        blob.rename(shared)
        blob.symlink_to(shared)
        places[name] = shared
    places["gguf"].write_bytes(b"GGUE")
    calls = [CALLS["safe"], CALLS["gguf"]]
    (good, _), (bad, _) = fetch(server.server_port, copy, *calls, HF_HUB_OFFLINE="1")
    assert Path(good) == copy / Path(online["safe"][0]).relative_to(cache)
    assert f"message: {places['gguf']}: damaged" in bad


def test_without_a_home_folder_the_message_says_so(server, tmp_path):
    """A user whom the system does not know has a `~` that leads nowhere."""
    env = {"HOME": "~", "HF_HUB_CACHE": "~/hub"}
    ((said, _),) = fetch(server.server_port, tmp_path, CALLS["safe"], **env)
    assert "Could not determine home directory" in said
    assert "set HOME, or HF_HOME to a folder" in said

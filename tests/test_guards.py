"""The checks themselves: one list of them, and two that no tool makes."""

import ast
import re
import subprocess
import sys
from collections import Counter

import yaml

CODE = {".py", ".smk", ".js", ".css", ".html"}
FOLDERS = ("workflow", "tests", "benchmarks", "envs")
LONGEST = 500


def test_commits_are_checked_as_make_lint_checks(repository_root):
    makefile = (repository_root / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.+\n)+)", makefile, flags=re.MULTILINE)[1]
    commands = [line.removeprefix("\t@$(BIN)/").partition(" > ")[0] for line in recipe.splitlines()]
    text = (repository_root / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (local,) = yaml.safe_load(text)["repos"]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]] == commands
    for hook in local["hooks"]:
        assert hook["language"] == "system", "nothing is downloaded"
        assert not hook["pass_filenames"], "a check sees the whole project"


def test_no_file_is_too_long(repository_root):
    """A limit, no goal: split a file where its subject splits."""
    found = [repository_root / "Snakefile"]
    for folder in FOLDERS:
        found += [p for p in (repository_root / folder).rglob("*") if p.suffix in CODE]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in found}
    assert {str(path): n for path, n in lines.items() if n > LONGEST} == {}


# Prints each module that is the first to bring in what is heavy.
IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(name)
    heavy = {"pandas", "pyarrow", "torch", "transformers"} & (set(sys.modules) - before)
    if heavy:
        print(name, *sorted(heavy))
"""


def test_config_and_stages_import_nothing_heavy(repository_root):
    """Not through another package either, which the contract of import-linter cannot see."""
    package = repository_root / "workflow" / "alignlab"
    paths = sorted(p for p in package.rglob("*.py") if p.stem in ("config", "stages"))
    names = [".".join(p.relative_to(package.parent).with_suffix("").parts) for p in paths]
    assert names, "no room has a config.py or stages.py"
    command = [sys.executable, "-c", IMPORT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""


# Classes that hold settings only, and have no such argument.
NO_CODE = {"GenerationConfig", "LoraConfig"}


def _opens_a_model(call):
    name = ast.unparse(call.func)
    if name in ("SentenceTransformer", "CrossEncoder", "LLM", "pipeline"):
        return True
    return name.endswith(".from_pretrained") and name.partition(".")[0] not in NO_CODE


def test_whatever_opens_a_model_says_that_a_strangers_code_is_not_run(repository_root):
    """Left unsaid, transformers asks on standard input, and a `y` that is piped in will do."""
    calls = [
        (path.name, call)
        for path in (repository_root / "workflow").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and _opens_a_model(call)
    ]
    assert len(calls) > 10
    for path, call in calls:
        said = [k.value for k in call.keywords if k.arg == "trust_remote_code"]
        assert [ast.unparse(value) for value in said] == ["False"], f"{path}:{call.lineno}"


def test_no_two_classes_share_a_name(repository_root):
    """Whoever reads `Answer` should not have to ask which."""
    defined = Counter(
        node.name
        for path in (repository_root / "workflow" / "alignlab").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in defined.items() if count > 1} == set()


def test_rooms_stay_small(repository_root):
    package = repository_root / "workflow" / "alignlab"
    folders = [package, *(path for path in package.rglob("*") if path.is_dir())]
    sizes = {
        folder.name: sum(path.is_file() for path in folder.iterdir())
        for folder in folders
        if folder.name != "__pycache__"
    }
    assert {name: size for name, size in sizes.items() if size > 20} == {}

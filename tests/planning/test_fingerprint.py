import ast
import shutil
import subprocess

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.experiment import results
from alignlab.planning import digest, fingerprint
from alignlab.planning.fingerprint import PACKAGE, Code

FILES = {
    "a.py": '''
"""Doc."""

import logging
from pathlib import Path

from pkg import errors
from pkg.b import f, g
from pkg.errors import AlignlabError

log = logging.getLogger(__name__)
LIMIT = 3


def run(path: Path, total: int = LIMIT) -> int:
    """What it does."""
    log.info("running %s", path)
    if total > LIMIT:
        raise AlignlabError(f"{path}: too many")
    return helper(f(total), "text")


def helper(value, text):
    return [f for f in value] + [g(text)] + [value.g, dict(f=1)]
''',
    "b.py": """
from pkg.room.deep import h


def f(x):
    return h(x)


def g(x):
    return x
""",
    "room/__init__.py": "",
    "room/deep.py": """
def h(x):
    from pkg import late

    return late.last(x)
""",
    "late.py": "def last(x):\n    return x[-1]\n",
    "errors.py": "CHANGES_NO_VALUE = True\n\n\nclass AlignlabError(Exception):\n    pass\n",
    "errors_of_judges.py": "def found(x):\n    return 1\n",
    "types.py": "class T:\n    pass\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few modules; gives a function that edits it and says what `a` has then."""
    monkeypatch.setattr(digest, "REMEMBERED", tmp_path / "memory")
    return Package(tmp_path / "pkg")


class Package:
    def __init__(self, folder):
        self.folder = folder
        for name, text in FILES.items():
            self.write(name, text)
        self.before = self.now()

    def write(self, name, text):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def edit(self, name, old, new, count=-1):
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, count))
        return self

    def now(self, entry="pkg.a"):
        return Code(self.folder).fingerprint(entry)

    @property
    def same(self):
        return self.now() == self.before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", '"""What it does."""', '"""Reworded."""  # why'),
        ("a.py", '"""Doc."""', ""),
        ("a.py", "too many", "more than are allowed"),
        ("a.py", 'raise AlignlabError(f"{path}: too many")', "raise AlignlabError('no') from None"),
        ("a.py", 'log.info("running %s", path)', 'log.warning("at %s of %s", path, total)'),
        ("a.py", '    log.info("running %s", path)\n', ""),
        ("a.py", "LIMIT = 3\n", 'LIMIT = 3\n"""So many."""\n'),
        ("a.py", "LIMIT", "MOST"),
        ("a.py", "total: int = LIMIT", "total=LIMIT"),
        ("a.py", "def run(", "def go("),
        (
            "a.py",
            "import logging\nfrom pathlib import Path\n",
            "from pathlib import Path\nimport logging\n",
        ),
        (
            "a.py",
            "from pkg import errors\nfrom pkg.b import f, g\n",
            "from pkg.b import g, f\nfrom pkg import errors\n",
        ),
        (
            "a.py",
            "from pkg import errors\n",
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from pkg.types import T\n",
        ),
        ("errors.py", "pass", "text = 'another'"),
        ("types.py", "pass", "x = 1"),
    ],
)
def test_what_changes_no_value_changes_no_fingerprint(package, name, old, new):
    assert package.edit(name, old, new).same


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", "LIMIT = 3", "LIMIT = 4"),
        ("a.py", '"text"', '"texts"'),
        ("a.py", "f(total)", "g(total)"),
        ("a.py", "[g(text)]", "[f(text)]"),
        ("a.py", "value.g", "value.f"),
        ("a.py", "dict(f=1)", "dict(h=1)"),
        ("a.py", "total > LIMIT", "total >= LIMIT"),
        ("a.py", 'log.info("running %s", path)', 'log.info("running %s", path.unlink())'),
        ("a.py", "[f for f in value]", "[f for _ in value]"),
        ("a.py", "def helper(value, text)", "def helper(value, f)"),
        ("a.py", "raise AlignlabError(", "raise ValueError("),
        ("b.py", "return x", "return -x"),
        ("b.py", "return h(x)", "return g(x)"),
        ("late.py", "x[-1]", "x[0]"),
        ("a.py", "LIMIT = 3", "LIMIT = 3\nimport pkg.types"),
        ("a.py", "LIMIT = 3", "LIMIT = 3\nimport os"),
    ],
)
def test_what_may_change_a_value_changes_the_fingerprint(package, name, old, new):
    assert not package.edit(name, old, new).same


def test_a_module_may_move_and_have_another_name(package):
    shutil.move(package.folder / "b.py", package.folder / "room/better.py")
    assert package.edit("a.py", "pkg.b ", "pkg.room.better ").same
    shutil.move(package.folder / "late.py", package.folder / "room/later.py")
    package.edit("room/deep.py", "from pkg import late", "from pkg.room import later")
    assert package.edit("room/deep.py", "late.last", "later.last").same
    shutil.move(package.folder / "a.py", package.folder / "room/a.py")
    assert package.now("pkg.room.a") == package.before


def test_a_function_may_have_another_name(package):
    package.edit("b.py", "def f(", "def fetched(")
    assert package.edit("a.py", "from pkg.b import f, g", "from pkg.b import fetched as f, g").same
    package.edit("late.py", "last", "final")
    assert package.edit("room/deep.py", "last", "final").same


def test_names_are_found_through_whoever_passes_them_on(package):
    package.write("room/__init__.py", "from pkg.b import f, g\n\n__all__ = ['f', 'g']\n")
    assert package.edit("a.py", "from pkg.b import", "from pkg.room import").same
    package.edit("a.py", "from pkg.room import f, g", "from .room import f, g")
    assert package.same
    package.edit("a.py", "from .room import f, g", "import pkg.b as b")
    package.edit("a.py", "helper(f(", "helper(b.f(")
    assert package.edit("a.py", "[g(text)]", "[b.g(text)]").same


@pytest.mark.parametrize(
    ("code", "other", "same"),
    [
        # Locals that are spelt like `f`, so that another name of the function does not reach them.
        ("def u(f):\n    return f", "def u(f):\n    return f", True),
        ("def u():\n    f = 1\n    return f", "def u():\n    f = 1\n    return f", True),
        ("def u(x):\n    return lambda f: f", "def u(x):\n    return lambda f: f", True),
        ("u = [f(1)]", "u = [k(1)]", True),
        ("u = [f for f in f]", "u = [f for f in k]", True),
        ("def u(x=f):\n    return x", "def u(x=k):\n    return x", True),
        ("class U:\n    f = 1\n    def v(self):\n        return f", None, True),
        ("class U:\n    def f(self):\n        return f()", None, True),
        ("def u(x):\n    global f\n    f = x", "def u(x):\n    global k\n    k = x", True),
        ("def u(x):\n    try:\n        x()\n    except E as f:\n        return f", None, True),
        ("def u(x):\n    match x:\n        case [f, *g]:\n            return f", None, True),
        ("def u(x):\n    if (f := x):\n        return f", None, True),
        ("def u(x):\n    return [y for x in x if (f := x)], f", None, True),
        ("def u(x):\n    return x.f, dict(f=f)", "def u(x):\n    return x.f, dict(f=k)", True),
        ("def u(x):\n    return f(x)", "def u(x):\n    return g(x)", False),
        ("u: int = f(1)", "u: str = k(1)", True),
        ("class U:\n    x: int = 1", "class U:\n    x: str = 1", False),
    ],
)
def test_names_are_told_from_those_that_shadow_them(tmp_path, code, other, same):
    """`f` is another name in the second file, `k`; what is local stays as it is."""
    head = "def {0}(x):\n    return x\n\n\ndef g(x):\n    return 2\n\n\n"
    if other is None:
        hidden = "class U" in code
        other = code.replace("return f", "return k") if hidden else code
    found = []
    for name, text in (("f", code), ("k", other)):
        folder = tmp_path / name / "pkg"
        folder.mkdir(parents=True)
        (folder / "a.py").write_text(head.format(name) + text + "\n")
        found.append(Code(folder).fingerprint("pkg.a"))
    assert (found[0] == found[1]) == same


def test_what_declares_that_it_changes_no_value_is_known_by_that_alone(package):
    """Not by a name that begins as another's."""
    package.edit("a.py", "from pkg import errors", "from pkg.errors_of_judges import found")
    before = package.now()
    package.edit("errors_of_judges.py", "return 1", "return 2")
    assert package.now() != before
    package.edit("errors_of_judges.py", "def", "CHANGES_NO_VALUE = True\n\n\ndef")
    before = package.now()
    package.edit("errors_of_judges.py", "return 2", "return 3")
    assert package.now() == before


def test_a_whole_room_can_declare_it(package):
    package.write("room/__init__.py", "CHANGES_NO_VALUE = True\n")
    before = package.now()
    package.edit("late.py", "x[-1]", "x[0]")
    assert package.now() == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("late.py", "from pkg import b\n", "circle: pkg.b → pkg.room.deep → pkg.late → pkg.b"),
        ("late.py", "from pkg.late import x\n", "imported in a circle"),
        ("late.py", "from pkg.types import *\n", "name what is imported"),
        ("late.py", "def (\n", "late.py: line 1"),
    ],
)
def test_what_has_no_fingerprint_is_named(package, name, text, message):
    package.write(name, text)
    with pytest.raises(AlignlabError, match=message):
        package.now()
    with pytest.raises(AlignlabError, match=r"pkg\.none: no such module"):
        package.now("pkg.none")


def test_what_is_remembered_is_what_is_computed(package, tmp_path):
    kept = {path: path.read_text() for path in (tmp_path / "memory").iterdir()}
    assert len(kept) == 6, "one a module that is read, and that of errors"
    for path in kept:
        path.write_text("[")  # as a full disk leaves it
    assert package.same
    assert {path: path.read_text() for path in kept} == kept
    for path in kept:
        text = path.read_text()
        path.write_text(text.replace('"shape": "', '"shape": "0'))
    assert not package.same


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_fingerprint_is_the_same_in_every_python(version, tmp_path):
    """A store made under one Python must be valid under another."""
    probe = (
        "import sys, types, pathlib; sys.path.insert(0, sys.argv[1])\n"
        # Only the standard library is wanted of another Python.
        "from alignlab.planning import digest; digest.REMEMBERED = pathlib.Path('/proc/none')\n"
        "from alignlab.planning.fingerprint import Code\n"
        "print(*map(Code().fingerprint, sys.argv[2:]))"
    )
    modules = sorted({unit.module for unit in results.units().values()})
    run = [f"python{version}", "-c", probe, str(PACKAGE.parent), *modules]
    try:
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no Python {version} here")
    assert done.stdout.split() == [fingerprint.Code().fingerprint(name) for name in modules]


def test_nothing_hides_in_the_files_that_make_folders_rooms():
    """What a room's `__init__.py` does when a module of it is imported is in no fingerprint."""
    for path in PACKAGE.rglob("__init__.py"):
        for node in ast.parse(path.read_text()).body:
            value = getattr(node, "value", None)
            assert isinstance(value, ast.Constant), f"{path}: {ast.unparse(node)}"

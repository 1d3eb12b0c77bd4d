"""What the documents say of the repository must be there: files, headings, commands, rooms."""

import re
import runpy
from importlib.util import find_spec

import pytest
import yaml

from alignlab.cli import main
from alignlab.experiment.plan import STAGES

README_LINES, WIDTH = 160, 120
PAGES = ("README.md", "CONTRIBUTING.md", "results/README.md", "docs/*.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(
    r"(?<![\w./-])(?:benchmarks|config|docs|envs|profiles|tests|workflow)/[\w./*-]*[\w*]"
)


def pages(root):
    """Text of every document by path, without comments."""
    found = [path for pattern in PAGES for path in sorted(root.glob(pattern))]
    return {path: COMMENT.sub("", path.read_text(encoding="utf-8")) for path in found}


def code(text):
    """Fenced blocks without shell comments, and spans of code."""
    blocks = [re.sub(r"#.*", "", block) for _, block in FENCE.findall(text)]
    return blocks + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def in_code(root, pattern):
    """What a pattern finds in the code of each document: (document, match)."""
    return {
        (path.name, match)
        for path, text in pages(root).items()
        for piece in code(text)
        for match in re.findall(pattern, piece)
    }


def anchors(text):
    """The anchors that GitHub makes of a page's headings."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_experiments(text):
    """YAML blocks of a page that are whole experiments, and those that add keys to them."""
    blocks = [
        yaml.safe_load(block) for language, block in FENCE.findall(text) if language == "yaml"
    ]
    wholes = [block for block in blocks if "name" in block]
    return wholes, [block for block in blocks if "name" not in block]


@pytest.fixture
def readme(repository_root):
    return (repository_root / "README.md").read_text(encoding="utf-8")


def test_readme_is_read_in_one_sitting(readme):
    lines = readme.splitlines()
    assert len(lines) <= README_LINES
    assert [line for line in lines if len(line) > WIDTH] == []


def test_readme_names_the_test_command(readme):
    assert re.search(r"^make test\b", readme, re.MULTILINE)


def test_every_link_has_a_target(repository_root):
    broken = []
    for path, text in pages(repository_root).items():
        for link in LINK.findall(FENCE.sub("", text)):
            if link.startswith(("https://", "http://")):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists():
                broken.append((path.name, link))
            elif anchor:
                known = anchors(target.read_text(encoding="utf-8"))
                broken += [(path.name, link)] if anchor not in known else []
    assert broken == []


def test_every_page_is_linked_from_readme(repository_root, readme):
    linked = set(LINK.findall(readme))
    written = {f"docs/{path.name}" for path in (repository_root / "docs").glob("*.md")}
    assert written - linked == set()


def test_every_picture_is_shown(repository_root):
    shown = {
        link.rpartition("/")[2]
        for text in pages(repository_root).values()
        for link in LINK.findall(text)
    }
    drawn = {
        path.name
        for path in (repository_root / "docs").iterdir()
        if path.suffix in (".png", ".svg")
    }
    assert drawn - shown == set()


def test_every_subcommand_exists(repository_root, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    (listed,) = re.findall(r"^\s*\{([\w,-]+)\}", capsys.readouterr().out, re.MULTILINE)
    named = in_code(repository_root, r"\balignlab ([a-z][\w-]*)")
    assert {found for found in named if found[1] not in listed.split(",")} == set()
    assert {command for _, command in named} == set(listed.split(","))


def test_every_make_target_exists(repository_root):
    makefile = (repository_root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    named = in_code(repository_root, r"(?m)^make((?: [A-Za-z][\w=./-]*)+)")
    words = {(page, word) for page, words in named for word in words.split() if "=" not in word}
    assert {found for found in words if found[1] not in targets} == set()


def test_every_path_exists(repository_root):
    named = in_code(repository_root, PATH)
    assert {found for found in named if not any(repository_root.glob(found[1]))} == set()


def test_every_module_exists(repository_root):
    named = in_code(repository_root, r"-m (alignlab[\w.]*)")
    assert {found for found in named if not exists(found[1])} == set()


def exists(module):
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_the_file_tree_lists_the_rooms(repository_root, readme):
    package = repository_root / "workflow" / "alignlab"
    (tree,) = (block for _, block in FENCE.findall(readme) if "workflow/alignlab/" in block)
    listed = re.findall(r"^    (\w+)/ ", tree, re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in package.glob("*/__init__.py"))
    others = re.findall(r"^(\S+)/ ", tree, re.MULTILINE)
    assert [name for name in others if not (repository_root / name).is_dir()] == []


def test_architecture_lists_the_rooms_in_the_order_of_readme(repository_root, readme):
    page = (repository_root / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("## Rooms")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert listed == re.findall(r"^    (\w+)/ ", readme, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/experiments.md"])
def test_experiments_of_the_pages_are_valid(repository, tmp_path, capsys, page):
    wholes, additions = named_experiments((repository / page).read_text(encoding="utf-8"))
    (whole,) = wholes
    checked = [whole]
    for addition in additions:
        arms = whole["arms"] + addition.pop("arms", [])
        checked.append({**whole, **addition, "arms": arms})
    for number, experiment in enumerate(checked):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(experiment), encoding="utf-8")
        status = main(["check", str(path)])
        assert status == 0, capsys.readouterr().err


def test_the_table_of_stages_is_of_todays_code(repository):
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    written = {name: tuple(set(re.findall(r"`(\w+)`", c)) for c in cells) for name, *cells in rows}
    rules = runpy.run_path(str(repository / "docs" / "draw_architecture.py"))["rules"]()
    rooms = {stage.name: set() for stage in STAGES}
    for stage in STAGES:
        rooms[stage.name].add(stage.units[0].module.split(".")[1])
    assert written == {name: (set(rules[name]), rooms[name]) for name in rooms}


def test_results_tells_where_artefacts_of_every_stage_lie(repository_root):
    page = (repository_root / "results" / "README.md").read_text(encoding="utf-8")
    assert {stage.name for stage in STAGES} <= set(re.findall(r"^\| `store/(\w+)/", page, re.M))


def test_the_picture_of_the_architecture_is_of_todays_code(repository):
    """If this fails: python docs/draw_architecture.py"""
    draw = runpy.run_path(str(repository / "docs" / "draw_architecture.py"))
    assert (repository / "docs/architecture.svg").read_text(encoding="utf-8") == draw["drawn"]()

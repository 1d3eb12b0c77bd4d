"""The page and its figures as files: offline, deterministic, complete."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from synthetic import ARMS, make_study, provenance

from alignlab.reporting.report import build_report


class Page(HTMLParser):
    """Collects what a browser would fetch, and every id."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.ids = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.fetched.append((tag, value))


def test_the_page_refers_to_nothing_outside_itself_and_ids_are_unique(study):
    page = Page(study.page.read_text(encoding="utf-8"))
    assert page.fetched == []
    assert len(page.ids) == len(set(page.ids))


def test_the_same_tables_give_the_same_bytes(study, tmp_path):
    again = study.moved(tmp_path)
    build_report(again.job)
    assert again.page.read_bytes() == study.page.read_bytes()
    for figure in study.figures.iterdir():
        assert (again.figures / figure.name).read_bytes() == figure.read_bytes()


def test_figures_are_svg_with_real_text_for_every_arm(study):
    arms = {"differences", "finish", "lengths", "scenario-attack"}
    others = {
        "scenario-red-team": {"minus zero-shot"},
        "study-own-answers": {"led against free, all"},
    }
    wanted = {name: {arm[0] for arm in ARMS[1:]} for name in arms} | others
    assert {path.stem for path in study.figures.iterdir()} == wanted.keys()
    for path in study.figures.iterdir():
        texts = {node.text for node in ElementTree.parse(path).iter() if node.tag.endswith("}text")}
        assert wanted[path.stem] <= texts


def test_hostile_titles_are_escaped_and_only_the_own_script_may_run(plain_study, tmp_path):
    made = plain_study.moved(tmp_path, title="<script>window.pwned = 1</script>")
    build_report(made.job)
    page = made.page.read_text(encoding="utf-8")
    assert "<script>window.pwned" not in page
    assert "&lt;script&gt;window.pwned" in page
    assert page.count("<script") == 2
    assert re.search(r"default-src 'none'; .*script-src 'sha256-", page)


def test_timings_and_learning_may_be_empty(plain_study, tmp_path):
    made = plain_study.moved(tmp_path)
    made.set_provenance(provenance() | {"timings": []})
    build_report(made.job)
    page = made.page.read_text(encoding="utf-8")
    assert "<h3>Arms</h3>" in page
    assert "<h3>Time</h3>" not in page
    for name in ("scenarios", "discrimination", "training"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
    assert {path.stem for path in made.figures.iterdir()} == {
        "differences",
        "finish",
        "lengths",
    }


def test_what_plain_transformers_ran_row_by_row_is_named(plain_study, tmp_path):
    made = plain_study.moved(tmp_path)
    made.set_provenance(provenance() | {"plain": {"falcon-7b": "its rope & window"}})
    build_report(made.job)
    page = made.page.read_text(encoding="utf-8")
    assert re.search("falcon-7b<td>its rope &amp; window", page)


def test_an_experiment_of_the_baseline_alone_has_a_page(tmp_path):
    made = make_study(tmp_path, regular=6, safety=3, arms=ARMS[:1])
    build_report(made.job)
    page = made.page.read_text(encoding="utf-8")
    assert "There is nothing to compare with zero-shot." in page
    assert not (made.figures / "differences.svg").exists()

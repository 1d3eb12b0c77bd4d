"""One synthetic experiment with its pages, shared by every test of the room."""

import random
from pathlib import Path

import pytest
from synthetic import ARMS, make_study
from synthetic_judging import add_judging
from synthetic_learning import add_learning
from synthetic_shift import PAIRS, make_shift_study

from alignlab.reporting.report import build_report
from alignlab.reporting.shift import payload
from alignlab.reporting.shift.page import build_shift_page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture
def dice():
    """Random numbers, the same at every run."""
    return random.Random(11)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The full synthetic experiment, with its page and figures built."""
    made = make_study(tmp_path_factory.mktemp("study"))
    add_learning(made)
    build_report(made.job)
    return made


@pytest.fixture(scope="session")
def judged_study(tmp_path_factory):
    """Three arms that two judges scored, one of them unqualified, with the page built."""
    folder = tmp_path_factory.mktemp("judged")
    made = make_study(folder, regular=24, safety=12, arms=(ARMS[0], ARMS[3], ARMS[5]))
    add_judging(made)
    build_report(made.job)
    return made


@pytest.fixture(scope="session")
def plain_study(tmp_path_factory):
    """Two arms on a few prompts, without anything optional; nothing is built."""
    return make_study(tmp_path_factory.mktemp("plain"), regular=4, safety=2, arms=ARMS[:2])


@pytest.fixture(scope="session")
def shift_study(tmp_path_factory):
    """Two synthetic pairs, with their token-shift page built."""
    made = make_shift_study(tmp_path_factory.mktemp("shift"))
    build_shift_page(made.job, made.drawn)
    return made


@pytest.fixture(scope="session")
def shift_answers(shift_study):
    """Rows of the first pair's answers, by prompt (the first turn)."""
    found = payload.answers_of(shift_study.job.shifts[PAIRS[0][0]])
    return {rows[0]["prompt_id"]: rows for rows in found if rows[0]["turn"] == 0}


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, for one file of tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def shift_page(browser, shift_study):
    """A function that opens the token-shift page.

    At the end nothing was logged or thrown, and only the page and its data files were read.
    """
    trouble = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    ours = (shift_study.page.as_uri(), shift_study.data.as_uri() + "/", "data:")

    def visit(fragment=""):
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("request", lambda request: fetched(request.url))
        page.goto(shift_study.page.as_uri() + fragment)
        page.wait_for_selector("#stream")
        return page

    def fetched(url):
        if not url.startswith(ours):
            trouble.append(f"request: {url}")

    yield visit
    context.close()
    assert trouble == []

"""How tests read the token-shift page: what is chosen, and waiting for an answer to be loaded."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
SAFETY = "#pair=smol-own&prompt=strict%2F0"
HOSTILE = "#pair=smol-own&prompt=mt-bench%2F82"


def chosen(page):
    return int(page.locator("#stream [aria-selected=true]").get_attribute("id").removeprefix("t"))


def opens(page, prompt):
    sync_api.expect(page.locator("#question h3").first).to_contain_text(f"Prompt {prompt}")
    sync_api.expect(page.locator("#answer")).not_to_be_empty()

import pytest

from alignlab.metrics.style import has_closer, has_opener, is_structured, list_items, runs_on

LIST = "Three ways:\n\n1. Walk\n2) Run\n  - slowly\n• Swim\n(4) Fly\n\nDone."


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (LIST, 5),
        ("", 0),
        ("The year was\n1945. It ended in 1946.", 0),
        ("3.5 litres\n-5 degrees\n**bold**\n---", 0),
        ("Run this:\n```yaml\n- a\n- b\n```\n- then look", 1),
        ("```\n- an open fence\n- goes to the end", 0),
    ],
)
def test_counts_list_lines_outside_code(text, count):
    assert list_items(text) == count


@pytest.mark.parametrize(
    "text", [LIST, "# Title\nText", "**Cost:** ten euros", "Intro\n  **Label** text"]
)
def test_structured(text):
    assert is_structured(text)


@pytest.mark.parametrize(
    "text", ["Plain prose.", "- only one item", "It is **very** good.", "```\n# a comment\n```"]
)
def test_unstructured(text):
    assert not is_structured(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hello! Here it is.",
        "Hi there, let us look.",
        "Sure, here is a poem.",
        "Of course! Paris.",
        "Certainly. It is four.",
        "Thank you for asking.",
        "Great question! Rust is iron oxide.",
        "That’s a really interesting topic.",
        "Congratulations on your new job!",
        "I'm so sorry to hear about your cat.",
        "I'd be happy to explain.",
    ],
)
def test_warm_openings(text):
    assert has_opener(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris is the capital of France.",
        "Yes, it is.",
        "Hey Jude is a song by the Beatles.",
        "Highways are wide.",
        "Good wine needs time.",
        "The shop says: Hello!",
        "I am here.",
        "Sureness is rare.",
    ],
)
def test_plain_openings(text):
    assert not has_opener(text)


@pytest.mark.parametrize(
    "text",
    [
        "It is four. Let me know if you have questions.",
        "Bake it. Would you like some help with the icing?",
        "Walk daily.\n\nRemember, small steps count.",
        "It is four. I hope this helps!",
        "Pack light. Have fun and stay safe!",
        "Serve warm. Enjoy!",
        "Try it. Good luck! Sam",
        "If you need more help, just ask.",
    ],
)
def test_warm_closings(text):
    assert has_closer(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is four.",
        "Let me know your budget. Then pick a car. Compare prices. Buy it.",
        "People remember faces better than names.",
        "Children enjoy games.",
        "They had hope.",
    ],
)
def test_plain_closings(text):
    assert not has_closer(text)


@pytest.mark.parametrize(
    "raw",
    [
        "Paris.\n```\n\n# Query:\n```\nAnd Rome?",
        "Paris.\n## User\nmore",
        "Paris.\nUser: and Rome?",
        "Paris.\n\nQuestion: And Rome?",
        "Paris.\nQ: Rome?",
    ],
)
def test_runs_on_to_another_turn(raw):
    assert runs_on(raw)


@pytest.mark.parametrize(
    "raw",
    ["", "Paris.\n```", "\n# Query:\nParis", "The user: a person.\nQuestions: none.", "Q: Paris"],
)
def test_ends_with_its_answer(raw):
    assert not runs_on(raw)

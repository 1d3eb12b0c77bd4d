from alignlab.prompting.build import build_prompter

METHOD = {
    "kind": "zero-shot",
    "hindsight": {"good": "A kind answer:", "bad": "A rude answer:"},
}


def test_the_answer_begins_with_the_good_marker_and_ends_at_the_bad_one():
    plain = build_prompter({k: v for k, v in METHOD.items() if k != "hindsight"}, None, None)
    prompter = build_prompter(METHOD, None, None)
    assert prompter.render(["Hi?"], []) == plain.render(["Hi?"], []) + "A kind answer:"
    assert prompter.templated == plain.templated
    assert prompter.stopping.cut(" Hello.\n\nA rude answer: Go away.") == ("Hello.", "stop_string")
    assert prompter.stopping.cut("Hello.\n```\nmore") == ("Hello.", "fence")

"""What kind each token of an answer is: greeting, list marker, safety, content and so on.

    python -m alignlab.shift.categories "Hello! As an AI, I cannot help."     # token → category

Lin et al. (2023, arXiv 2312.01552, §2.2) say that alignment shifts stylistic and safety tokens, and
count none; these rules count them. A rule knows words, not meanings: "harmful" is a word of safety
even where it is said of insects. Rules are for English.

They read the text of the whole answer, so it does not matter where the tokenizer cuts a word: a
piece has the category of the word or number that holds its first letter or digit. A piece without
any is format, but for the apostrophe inside a word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

CATEGORIES = {
    "special": "Special tokens, such as the end of the answer",
    "greeting_closer": "Greetings, affirmations, praise, courtesies, offers of help, wishes",
    "discourse_marker": "Connectives and openers: However, Additionally, Here, Remember, First",
    "safety_disclaimer": "Apologies, refusals, an AI's disclaimers, words about harm and ethics",
    "format": "List markers, Markdown, punctuation, symbols, whitespace",
    "pronoun_address": "First and second person: who speaks and who is spoken to",
    "function_word": "Articles, prepositions, conjunctions, auxiliaries, other pronouns",
    "digit": "Numbers in digits that mark no list item",
    "content": "Every other word",
}
"""Category → what is in it. What fits several has the first."""


def _any(words: str) -> str:
    """A pattern of whole words and phrases; `_` is the space within a phrase."""
    longest_first = sorted(words.split(), key=len, reverse=True)
    return rf"(?<![\w'])(?:{'|'.join(longest_first)})(?!\w|'\w)".replace("_", "[ ]")


# The start of a line or sentence, before any quotes, asterisks and bullets.
START = r"(?:^|[.!?:][\"')\]*_]*\s)[^\w\n]*"

GREETING_AT_START = _any("""
    hello hi hey greetings welcome good_(?:morning|afternoon|evening) congratulations
    sure sure_thing certainly absolutely definitely gladly of_course no_problem
    (?:what_an?_|that(?:'s|_is)_an?_)?(?:great|good|excellent|interesting)_(?:question|idea|choice)
    (?:great|excellent|awesome|wonderful|ok|okay|alright|enjoy|happy_\\w+ing)(?=[!,.])
""")
GREETING = _any("""
    please thank_you thanks(?!_to) let_me_know feel_free good_luck best_of_luck
    (?:i'd_be_|i_would_be_|i'm_|i_am_)?(?:happy|glad|delighted|pleased)_to_(?:help|assist|hear|answer)
    (?:i_)?hope_(?:this|that|these|it|you|your)(?:_helps?|_information_helps?)?
    (?:do_not|don't)_hesitate(?:_to_(?:ask|reach_out|contact))? is_there_anything_else
    if_you_have_any_(?:other_|more_|further_|additional_)?(?:questions|concerns)
    how_(?:can|may|else_can)_i_(?:help|assist)(?:_you)?(?:_today)?
    have_a_(?:great|good|nice|wonderful|lovely)_\\w+
""")
DISCOURSE_AT_START = _any("""
    here here's first_of_all firstly secondly thirdly lastly also remember overall instead
    besides otherwise then so now let's (?:first|second|third|next|well|again|still)(?=[,:])
    note(?=_that|[:,])
""")
DISCOURSE = _any("""
    however additionally furthermore moreover therefore nevertheless nonetheless thus hence
    consequently meanwhile similarly likewise conversely alternatively finally ultimately
    specifically accordingly in_addition in_conclusion in_summary in_short in_contrast in_fact
    for_example for_instance as_a_result in_other_words on_the_other_hand that_being_said
    to_summarize to_sum_up to_conclude keep_in_mind please_note as_follows the_following
    it(?:'s|_is)_(?:also_)?(?:important|essential|crucial)_to_(?:note|remember|consider|mention)
    it(?:'s|_is)_(?:also_)?worth_(?:noting|mentioning)
""")
SAFETY = _any("""
    sorry apolog\\w+ unfortunately cannot can't unable not_able_to
    harm harms harmed harmful\\w* harming harmless\\w* unsafe illegal\\w* unlawful\\w*
    (?:un)?ethical\\w* ethics immoral\\w* inappropriate\\w* unacceptable offensive\\w*
    derogatory hateful\\w* discriminat\\w+ stereotyp\\w+ prejudic\\w+ (?:dis)?respectful\\w*
    malicious\\w* abusive condon\\w+ (?:ir)?responsibl[ey](?!_for) against_the_law
    must_point_out strongly_(?:advise|discourage|urge)
    (?:as|i'm|i_am)_(?:just_)?an?_(?:\\w+_){0,3}?(?:language_model|ai(?:_(?:language_)?model|_assistant)?)
""")
LIST_MARKER = r"^[ \t]*(?:[*_#>-]+[ \t]*)?(\d{1,3}|[a-z])[.)](?=\s|\*|$)"
PRONOUN = _any("""
    i i'm i've i'll i'd me my mine myself you you're you've you'll you'd your yours yourself
    yourselves we we're we've we'll we'd our ours ourselves (?-i:[Uu]s)
""")
FUNCTION = _any("""
    a an the this that these those such some any each every either neither no none both all
    many much more most few fewer less least several other another same own enough
    he him his himself she her hers herself it its itself they them their theirs themselves
    one someone anyone everyone nobody something anything everything nothing
    who whom whose which what when where why how whatever whichever wherever there here
    (?:it|he|she|that|there|who|what)'(?:s|ll|d) they'(?:re|ve|ll|d)
    and or but nor yet so if unless because since although though while whereas whether as
    than until till of to in on at by for with from into onto upon about above across after
    against along among around before behind below beneath beside between beyond despite down
    during except inside near off out outside over past per through throughout toward towards
    under up via within without like unlike regarding including
    be am is are was were been being have has had having do does did doing can could will
    would shall should may might must ought let let's not also only just very too even then
    (?:is|are|was|were|have|has|had|do|does|did|could|would|should|must|need|wo)n't
""")
RULES = {
    "greeting_closer": f"{START}({GREETING_AT_START})|({GREETING})",
    "discourse_marker": f"{START}({DISCOURSE_AT_START})|({DISCOURSE})",
    "safety_disclaimer": f"({SAFETY})",
    "format": LIST_MARKER,
    "pronoun_address": f"({PRONOUN})",
    "function_word": f"({FUNCTION})",
}
"""Category → pattern, in the order of `CATEGORIES`; the words in its one group are of that kind."""

_RULES = {name: re.compile(rule, re.IGNORECASE | re.MULTILINE) for name, rule in RULES.items()}
_WORD_OR_NUMBER = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)*")


def categorise(tokens: Sequence[str], special: Sequence[bool]) -> list[str]:
    """The category of every token of one answer.

    Args:
        tokens: texts of the answer's tokens, in order, with their leading spaces.
        special: which of them are special tokens; their texts are not looked at, and part what
            stands on both sides as a line end would.

    Returns:
        A key of `CATEGORIES` for each token.
    """
    pieces = ["\n" if skip else token for token, skip in zip(tokens, special, strict=True)]
    kinds = iter(_kinds("".join(pieces).replace("’", "'")))
    found = [next(filter(None, [next(kinds) for _ in piece]), "format") for piece in pieces]
    return ["special" if skip else kind for kind, skip in zip(found, special, strict=True)]


def _kinds(text: str) -> list[str]:
    """The category of each character of a word or number; nothing for other characters."""
    kinds = [""] * len(text)
    for unit in _WORD_OR_NUMBER.finditer(text):
        kind = "digit" if unit[0][0].isdigit() else "content"
        kinds[unit.start() : unit.end()] = [kind] * len(unit[0])
    for kind, rule in reversed(_RULES.items()):
        for match in rule.finditer(text):
            for unit in _WORD_OR_NUMBER.finditer(text, *match.span(match.lastindex or 0)):
                kinds[unit.start() : unit.end()] = [kind] * len(unit[0])
    return kinds


if __name__ == "__main__":
    parts = re.findall(r"\s*\w+(?:['’]\w+)*|\s*[^\w\s]+|\s+", " ".join(sys.argv[1:]))
    for part, kind in zip(parts, categorise(parts, [False] * len(parts)), strict=True):
        print(f"{part!r:24} {kind}")

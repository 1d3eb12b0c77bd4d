"""The style of an answer: lists and headings, how it opens and closes, running on.

Base and aligned models differ most in such tokens (Lin et al. 2023, arXiv 2312.01552, §2.2). Rules
are for English.
"""

from __future__ import annotations

import re

from alignlab.metrics.words import plain, sentences

FENCED_CODE = re.compile(r"^```.*?(?:^```|\Z)", re.MULTILINE | re.DOTALL)
LIST_ITEM = re.compile(
    r"^[ \t]*(?:[-*•+]|\d{1,2}[.)]|\(?[a-zA-Z]\)|\(\d{1,2}\))[ \t]+\S", re.MULTILINE
)
HEADING = re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE)
BOLD_LABEL = re.compile(r"^[ \t]*\*\*[^*\n]{1,80}\*\*", re.MULTILINE)
OPENER = re.compile(
    r"""\W*(?:
      # greeting
      (?:hello|hi|hey|greetings|good\ (?:morning|afternoon|evening|day)|welcome)
        (?:\ (?:there|again|everyone|all|friend|my\ friend))?\s*[!,.]
      # affirmation
    | (?:sure(?:\ thing)?|certainly|of\ course|absolutely|definitely|gladly|no\ problem|you\ bet
        |with\ pleasure|okay|ok|alright)(?:\s*[!,.:]|\ (?:here|i|let|thing)\b)
      # thanks
    | (?:thank\ you|thanks)\ (?:(?:so|very)\ much\ )?for\ (?:ask|your|the|reach|shar|bring)
      # praise
    | (?:(?:(?:that|it)(?:'s|\ is)|what|this\ is)\ )?(?:such\ )?(?:an?\ )?(?:(?:very|really)\ )?
        (?:great|good|excellent|interesting|fascinating|wonderful|fantastic|thoughtful|important)
        \ (?:question|idea|topic|choice|point|request)\b
    | congratulations\b
      # sympathy
    | i(?:'m|\ am)\ (?:so\ |very\ |really\ |truly\ )?sorry\ (?:to\ hear|that\ you|about|for\ your)
      # offer
    | i(?:(?:'d|\ would)\ be|'m|\ am)\ (?:more\ than\ )?(?:happy|glad|delighted|pleased|here)\ to\b
    | (?:happy|glad)\ to\ help
    | i\ can\ (?:certainly\ |definitely\ )?help
    )""",
    re.IGNORECASE | re.VERBOSE,
)
CLOSER = re.compile(
    r"""
      # invitation
      \b(?:let\ me\ know|feel\ free\ to|(?:don't|do\ not)\ hesitate\ to
        |would\ you\ like\ (?:(?:me\ )?to|(?:some\ )?(?:help|more))
        |is\ there\ anything\ else|do\ you\ have\ any\ (?:(?:other|more|further)\ )?questions
        |how\ (?:can|may|else\ can)\ i\ (?:help|assist)
        |if\ you\ (?:have|need|want|like|would\ like)\b[^.!?]*\b(?:questions?|help|assistance)
        |(?:happy|glad)\ to\ help|i(?:'m|\ am)\ (?:always\ )?here\ (?:to|for|if))
      # reminder
    | ^\W*(?:(?:and|so|but|also|please|just|always),?\ )*remember\b
    | \bkeep\ in\ mind\b
    | \bit(?:'s|\ is)\ (?:also\ |always\ )?important\ to\ (?:remember|note|keep)
      # wish
    | \bhope\ (?:this|that|these|it|you|my)\b
    | \b(?:good|best\ of)\ luck\b
    | ^\W*enjoy\b
    | \bhave\ (?:a\ (?:great|good|nice|wonderful|lovely)|fun)\b
    | \b(?:stay\ safe|take\ care|best\ wishes|all\ the\ best|bon\ app[eé]tit)\b
    | ^\W*happy\ \w+ing\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
NEXT_TURN = re.compile(
    r"\S.*?\n[ \t]*"
    r"(?:\#+[ \t]*(?:query|user|question|human|instruction)\b|(?:user|human|question|q)[ \t]*:)",
    re.IGNORECASE | re.DOTALL,
)


def list_items(text: str) -> int:
    """Numbered, lettered or bulleted lines outside fenced code."""
    return len(LIST_ITEM.findall(FENCED_CODE.sub("", text)))


def is_structured(text: str) -> bool:
    """Two list items, a Markdown heading, or a bold label at the start of a line."""
    prose = FENCED_CODE.sub("", text)
    return list_items(text) >= 2 or bool(HEADING.search(prose) or BOLD_LABEL.search(prose))


def has_opener(text: str) -> bool:
    """It opens with a greeting, affirmation, thanks, praise, sympathy or an offer to help."""
    return bool(OPENER.match(plain(text)))


def has_closer(text: str) -> bool:
    """One of the last two sentences is an invitation, a reminder or a wish."""
    return any(CLOSER.search(sentence) for sentence in sentences(text)[-2:])


def runs_on(raw_text: str) -> bool:
    """A line after the first non-empty one opens a user turn, as `# Query` or `User:` does.

    An answer that is itself an interview or a quiz ("Q: …") counts too: no text can tell.
    """
    return bool(NEXT_TURN.search(raw_text))

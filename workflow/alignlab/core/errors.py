"""The one error a user is meant to read: it names the file, key or row, and what was expected."""

CHANGES_NO_VALUE = True


class AlignlabError(Exception):
    """Bad input or a broken environment, reported in one message without a traceback."""

"""Which attempt is due after one that left rows without an answer."""

import pytest

from alignlab.endpoints import replies


@pytest.fixture
def note(tmp_path):
    return tmp_path / "note.json"


def test_the_first_attempt_is_due_where_none_was_made(note):
    assert replies.due(note, None) == 1


def test_a_mended_table_keeps_its_attempt(note):
    replies.write(note, 1, failed=2, no_room=0, max_usd=None)
    assert replies.due(note, None) == 2
    replies.write(note, 2, failed=0, no_room=0, max_usd=None)
    assert replies.due(note, None) == 2


@pytest.mark.parametrize(("limit", "due"), [(5, 1), (9, 2), (None, 2)])
def test_what_the_limit_left_out_is_due_once_the_limit_is_another(note, limit, due):
    replies.write(note, 1, failed=0, no_room=3, max_usd=5)
    assert replies.due(note, limit) == due

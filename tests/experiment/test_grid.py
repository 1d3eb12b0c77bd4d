"""Entries written once for many values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.experiment.grid import Grid


def written_out(value):
    return Grid(value).value


def test_every_combination_is_an_entry_and_values_keep_their_type():
    arms = [
        {"name": "first"},
        {
            "for": {"model": ["a", "b"], "k": [1, 3]},
            "name": "{model}.urial-k{k}",
            "method": {"kind": "urial", "k": "{k}"},
        },
        {"name": "last"},
    ]
    assert written_out({"arms": arms})["arms"] == [
        {"name": "first"},
        *(
            {"name": f"{model}.urial-k{k}", "method": {"kind": "urial", "k": k}}
            for model in ("a", "b")
            for k in (1, 3)
        ),
        {"name": "last"},
    ]


def test_values_that_go_together_are_maps():
    pairs = [
        {
            "for": {"pair": [{"base": "llama", "aligned": "vicuna"}]},
            "name": "{pair.aligned}-on-{pair.base}",
            "base": "{pair.base}",
        }
    ]
    assert written_out(pairs) == [{"name": "vicuna-on-llama", "base": "llama"}]


def test_lists_within_entries_are_written_out_too():
    duels = [{"for": {"k": [1, 8]}, "each": ["{judge}", "urial-k{k}"]}]
    judges = [{"for": {"judge": ["x", "y"]}, "name": "{judge}", "duels": duels}]
    assert written_out(judges) == [
        {"name": name, "duels": [[name, "urial-k1"], [name, "urial-k8"]]} for name in ("x", "y")
    ]


def test_an_inner_grid_may_take_its_values_from_the_outer_one():
    inner = [{"for": {"size": "{family.sizes}"}, "each": "{family.name}-{size}"}]
    family = {"name": "qwen", "sizes": ["0.5b", "1.5b"]}
    assert written_out([{"for": {"family": [family]}, "arms": inner}]) == [
        {"arms": ["qwen-0.5b", "qwen-1.5b"]}
    ]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "for"), inner)
    ),
)


@given(plain)
def test_what_has_no_grid_is_as_it_was_braces_included(value):
    grid = Grid(value)
    assert grid.value == value
    assert grid.origins == {}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"for": {}}, r"^arms\.1\.for: expected variables"),
        ({"for": [1]}, r"^arms\.1\.for: expected variables"),
        ({"for": {"k": []}}, r"^arms\.1\.for\.k: expected a list with at least one"),
        ({"for": {"k": 3}}, r"^arms\.1\.for\.k: expected a list"),
        ({"for": {"k": [1]}, "name": "alike"}, r"^arms\.1\.for: k is used nowhere"),
        ({"for": {"k": [1]}, "name": "{m}{k}"}, r"^arms\.1 \(k=1\)\.name: \{m\} is none of .*: k$"),
        ({"for": {"k": [1]}, "name": "{k.x}"}, r"name: \{k\.x\}: k has no x in 1"),
        ({"for": {"k": [{"x": 1}]}, "name": "a{k}"}, r"name: \{k\} is \{'x': 1\}"),
        ({"for": {"k": [1]}, "name": {"k": None}}, r'name: write "\{k\}" in quotes'),
        ({"for": {"k": [1]}, "each": "{k}", "x": 1}, r"^arms\.1: `each` is the whole entry, so x"),
        ({"for": {"k": [1]}, "more": {"{k}": "{k}"}}, r"more: \{k\}: a key is not filled in"),
        (
            {"for": {"k": [1]}, "more": [{"for": {"k": [2]}, "each": "{k}"}]},
            r"^arms\.1 \(k=1\)\.more\.0\.for\.k: the `for` around it",
        ),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_with_its_key(entry, said):
    with pytest.raises(AlignlabError, match=said):
        Grid({"arms": ["first", entry]})


def test_mistakes_are_told_where_the_file_has_them():
    arms = ["a", {"for": {"k": [1, 2]}, "name": "{k}", "more": ["{k}", "{k}"]}, "z"]
    grid = Grid({"arms": arms})
    assert len(grid.value["arms"]) == 4
    told = {
        "arms.0.name: bad": "arms.0.name: bad",
        "arms.2.more.1: bad": "arms.1 (k=2).more.1: bad",
        "arms.3: bad": "arms.2: bad",
        "x.yaml: arms.1: 'y' is not in arms.30": "x.yaml: arms.1 (k=1): 'y' is not in arms.30",
    }
    assert {message: grid.located(message) for message in told} == told

from pydantic import Field

from alignlab.core.config import SLICE, StrictModel, added, dump


class Inner(StrictModel):
    width: int = Field(2)
    depth: int = added(0, description="Added later")


class Outer(StrictModel):
    name: str
    inner: Inner = Field(Inner())
    every: tuple[Inner, ...] = Field(())
    named: dict[str, Inner] = Field(default_factory=dict)
    top_k: int = added(50, introduced=0, ge=0)
    part: Inner | None = added(None)
    others: tuple[int, ...] = added(())


def test_an_added_key_is_left_out_while_it_has_its_first_default_at_any_depth():
    assert dump(Outer(name="a", top_k=0)) == {
        "name": "a",
        "inner": {"width": 2},
        "every": [],
        "named": {},
    }
    model = Outer(
        name="a",
        inner=Inner(depth=1),
        every=(Inner(), Inner(depth=2)),
        named={"x": Inner(depth=0), "y": Inner(depth=3)},
        others=(1,),
        part=Inner(),
    )
    assert dump(model) == {
        "name": "a",
        "inner": {"width": 2, "depth": 1},
        "every": [{"width": 2}, {"width": 2, "depth": 2}],
        "named": {"x": {"width": 2}, "y": {"width": 2, "depth": 3}},
        "top_k": 50,
        "part": {"width": 2},
        "others": [1],
    }


def test_a_default_that_changed_is_written_out():
    assert dump(Outer(name="a"))["top_k"] == 50
    assert dump(Outer(name="a"), {"name", "top_k"}) == {"name": "a", "top_k": 50}


def test_a_slice_is_read_back_as_it_was_dumped():
    model = Outer(name="a", top_k=0, inner=Inner(depth=1), every=(Inner(),), part=None)
    read = Outer.model_validate(dump(model), context={SLICE: True})
    assert (read, read.top_k) == (model, 0)
    assert Outer.model_validate(dump(model)).top_k == 50, "a user who says nothing has the new one"

import pytest

from alignlab.answering.engine_statistics import TOLERANCE, engine_lines, engine_row
from alignlab.core import tables


@pytest.fixture
def checked(tmp_path):
    """A table of two answers: one identical, one that parts at its third token."""

    def write(offset, dtype="bfloat16", skipped=()):
        common = {"model": "m", "prompt_tokens": 5}
        same = {
            **{"prompt_id": "a", "vllm_ids": [1, 2], "transformers_ids": [1, 2]},
            **{"vllm_logprobs": [-1.0, -2.0], "transformers_logprobs": [-1.0, -2.0]},
            **{"first_divergence": None, "divergence_gap": None},
        }
        parted = {
            **{"prompt_id": "b", "vllm_ids": [1, 2, 3], "transformers_ids": [1, 2, 4]},
            **{"vllm_logprobs": [-1.0, -2.0, -3.0]},
            **{"transformers_logprobs": [-1.0, -2.0, -3.0 + 5 * offset]},
            **{"first_divergence": 2, "divergence_gap": 0.125},
        }
        path = tmp_path / "check.parquet"
        spec = {"model": "m", "engine": {"name": "vllm", "dtype": dtype}, "digest": "d"}
        left = [dict.fromkeys(same) | common | {"prompt_id": "c", "skipped": w} for w in skipped]
        tables.write("engine_checks", path, [common | same, common | parted, *left], spec)
        return engine_row(path)

    return write


def test_a_row_says_how_far_apart_the_engines_are(checked):
    row = checked(0.01)
    assert row["mean_difference"] == pytest.approx(0.01, rel=1e-4)
    assert row["max_difference"] == pytest.approx(0.05, rel=1e-4)
    assert (row["prompts"], row["tokens"], row["identical"]) == (2, 5, 0.5)
    assert (row["first_divergence"], row["largest_gap"]) == (2.0, 0.125)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_mean_difference_decides(checked, dtype):
    inside, outside = (checked(TOLERANCE[dtype] * share, dtype) for share in (0.99, 1.01))
    assert (inside["passed"], outside["passed"]) == (True, False)
    assert "DISAGREES" in engine_lines([outside])[0]
    assert "DISAGREES" not in engine_lines([inside])[0]


def test_prompts_that_were_not_compared_are_counted_and_change_no_number(checked):
    row, whole = checked(0.01, skipped=["too long", "other", "too long"]), checked(0.01)
    assert (row.pop("skipped"), row.pop("reason")) == (3, "too long")
    assert (whole.pop("skipped"), whole.pop("reason")) == (0, None)
    assert row == whole
    line = engine_lines([checked(0.01, skipped=["too long"])])[0]
    assert line.endswith("1 prompts were not compared: too long.")

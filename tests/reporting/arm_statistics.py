"""Jobs of the tables of arms, for tests."""

from alignlab.reporting.arms.values import StatisticsJob


def statistics_job(output, metrics, prompts, judgements=None, **spec):
    """The first arm is the baseline; what the spec does not say, there is none of."""
    arms = list(metrics)
    none = {"scenarios": [], "scales": {}, "min_coverage": {}, "digest": "d"}
    given = {"experiment": "e", "arms": arms, "baseline": arms[0], "seed": 0, **none, **spec}
    return StatisticsJob(
        spec=given,
        metrics=metrics,
        judgements=judgements or {},
        prompts=prompts,
        output=output,
    )

"""YAML in, one validated and frozen `Experiment` out; digests; the plan of artefacts and paths."""

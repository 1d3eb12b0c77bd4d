"""YAML in, one validated and frozen `Experiment` out; digests; the plan of artefacts and paths."""

# What a config says is in the specs.
CHANGES_NO_VALUE = True

"""YAML in, one validated and frozen `Experiment` out; the plan of its artefacts."""

# What a config says is in the specs.
CHANGES_NO_VALUE = True

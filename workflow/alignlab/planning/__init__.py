"""Which code an artefact depends on: fingerprints, versions, and the evidence that keeps them."""

# What it says of code is in the specs.
CHANGES_NO_VALUE = True

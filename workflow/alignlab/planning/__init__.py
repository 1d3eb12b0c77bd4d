"""Artefacts, their digests, versions of the code behind them, the graph that they form.

Knows no subject.
"""

# What it says of code is in the specs.
CHANGES_NO_VALUE = True

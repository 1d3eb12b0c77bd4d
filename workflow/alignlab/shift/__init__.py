"""Token-distribution shift: what an aligned model says that its base model would not have said."""

BATCH_TOKENS = 2048
"""Tokens of a forward pass, padding included; here, as jobs are sized by it without torch."""

"""Token-distribution shift: what an aligned model says that its base model would not have said."""

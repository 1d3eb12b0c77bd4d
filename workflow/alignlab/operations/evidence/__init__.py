"""Evidence that a change of code changes no table: `make stages` compares old code with new."""

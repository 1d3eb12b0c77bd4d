"""What judges say: scores, pairwise win rates, and how the judges were validated."""

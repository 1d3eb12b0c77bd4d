"""Statistics: means with intervals for every arm, and paired comparisons with the baseline."""

"""How arms compare: means, differences from the baseline, scenarios."""

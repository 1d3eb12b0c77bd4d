"""Pure mathematics: intervals, paired tests, bootstrap. Knows no arm and no table."""

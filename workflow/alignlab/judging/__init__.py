"""Judging: judges score and compare answers by rubrics, and are validated before they count."""

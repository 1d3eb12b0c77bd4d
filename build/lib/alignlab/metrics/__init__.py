"""Metrics: measures of an answer that need no judge."""

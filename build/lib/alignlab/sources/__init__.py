"""Brings models and datasets in, checks them, and writes them as the workflow's artefacts."""

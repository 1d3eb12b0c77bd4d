"""Artefacts, their digests and the graph that they form; knows no subject."""

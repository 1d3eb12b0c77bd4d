"""Runs arms: a model, asked by a method, answers prompts; vLLM is checked against transformers."""

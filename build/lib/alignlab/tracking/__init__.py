"""Publishes finished artefacts to Weights & Biases; the only room that imports wandb."""

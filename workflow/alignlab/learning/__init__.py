"""Learning from Mistakes before any training: bad answers, questions about them, training sets."""

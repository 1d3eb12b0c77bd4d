"""Learning from Mistakes: bad answers, questions about them, training sets, the study."""

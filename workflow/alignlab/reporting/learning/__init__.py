"""Learning from Mistakes on the page: scenarios, the study, training sets, training."""

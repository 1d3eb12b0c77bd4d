"""Slurm as it is out there: controllers that do not answer, runs that were killed, small nodes."""

"""What a run needs from a machine: memory, costs, locks, clean-up, Slurm, environments, jobs."""

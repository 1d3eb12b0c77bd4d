"""What a run needs from a machine: memory, costs, locks, clean-up, Slurm, environments, jobs."""

# How a job runs changes no value.
CHANGES_NO_VALUE = True

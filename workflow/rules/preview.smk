# Purpose: what a run would cost, said at the end of a dry run and checked before a real one.
#
# REQUIRED INPUTS: none.
# OUTPUTS: none; a run that the disk cannot hold is refused.
# Jobs parse this file too and do nothing with it: their hooks are off, and none is a dry run.

import atexit


def costs_of_jobs():
    """Costs of what the jobs of this run make; the imports are as slow as parsing."""
    from alignlab.operations import cost_table

    return cost_table, cost_table.costs_of(PLAN, keys_due())


def print_costs():
    """The last words of a dry run, and nothing after a run or a mistake."""
    if workflow.dryrun and workflow.scheduler is not None:
        cost_table, costs = costs_of_jobs()
        if costs:
            print(cost_table.table(PLAN, costs))


if workflow.is_main_process:
    # Whether a run is dry is not known while the file is read.
    atexit.register(print_costs)


def check_space():
    """Refuse a run that the disk cannot hold."""
    cost_table, costs = costs_of_jobs()
    cost_table.check_disk(costs)

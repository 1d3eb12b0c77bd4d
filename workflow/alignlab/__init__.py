"""Alignlab measures what alignment changes in a language model, and what can be had without it.

    make run                                  the demo, on a laptop
    alignlab check                            every shipped experiment: is it valid, what would run
    snakemake --cores 2 --config experiment=smoke

Rooms, in the order the data walks through them: experiment, sources, prompting, engines, generate,
mistakes, tuning, metrics, shift, judging, statistics, reporting, tracking; `schemas` has the
columns of every table.
"""

__version__ = "0.1.0"

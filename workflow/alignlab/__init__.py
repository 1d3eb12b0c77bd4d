"""Alignlab measures what alignment changes in a language model, and what can be had without it.

One sub-package ("room") per subject, from the ground up: core, planning, statistics, prompting,
metrics, engines, endpoints, sources, shift, tuning, answering, judging, learning, reporting,
tracking, experiment, operations. A room imports only from rooms before it in this list.
"""

__version__ = "0.1.0"

"""Rule build_shift_page: the token-shift page, its data files and its figures."""

from alignlab.operations.job import job
from alignlab.reporting.shift.figures import draw_shift
from alignlab.reporting.shift.page import ShiftPageJob, build_shift_page

with job(snakemake, ShiftPageJob) as given:
    build_shift_page(given, draw_shift(given.tables, given.spec.pairs, given.figures))

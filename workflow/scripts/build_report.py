"""Rule build_report: one offline HTML file and its figures."""

from alignlab.operations.job import job
from alignlab.reporting.inputs import ReportJob
from alignlab.reporting.report import build_report

with job(snakemake, ReportJob) as given:
    build_report(given)

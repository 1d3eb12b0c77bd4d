"""Every table and page of the shipped experiments is made by a job that its function takes."""

import json

import pytest
import shipped

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import RESULT_STAGES, Results
from alignlab.judging.qualification import QualificationJob
from alignlab.judging.stages import QUALIFICATION
from alignlab.learning.discrimination import StudiesJob
from alignlab.learning.overlap import CheckTrainsetsJob
from alignlab.learning.stages import CHECKED_TRAINSETS, STUDIES
from alignlab.operations.manifest import ManifestJob
from alignlab.reporting.arms.values import StatisticsJob
from alignlab.reporting.inputs import ReportJob
from alignlab.reporting.shift.page import ShiftPageJob
from alignlab.reporting.stages import REPORT, SHIFT_PAGE, STATISTICS
from alignlab.shift.stages import SHIFT_STATISTICS
from alignlab.shift.summarise import ShiftStatisticsJob
from alignlab.tracking.publish import PublishJob
from alignlab.tracking.stages import PUBLICATION

JOBS = {
    STATISTICS: StatisticsJob,
    CHECKED_TRAINSETS: CheckTrainsetsJob,
    STUDIES: StudiesJob,
    SHIFT_STATISTICS: ShiftStatisticsJob,
    QUALIFICATION: QualificationJob,
    SHIFT_PAGE: ShiftPageJob,
    REPORT: ReportJob,
    PUBLICATION: PublishJob,
}
pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture(params=shipped.EXPERIMENTS)
def made(request):
    return Results(Plan(load_experiment(request.param)))


def test_there_is_a_job_for_every_stage():
    assert JOBS.keys() == set(RESULT_STAGES)


def test_what_the_plan_gives_is_valid(made):
    for artefact in (*made.made(), made.shift_page, made.report, made.publication):
        if artefact:
            job = JOBS[artefact.kind].model_validate_json(artefact.job())
            assert job.spec.signed == json.loads(json.dumps(artefact.signed_spec))
            assert job.output == artefact.home


def test_pages_lie_in_the_experiment_s_folder_and_tables_beside_one_another(made):
    folder, tables = made.plan.folder, made.tables
    job = ReportJob.model_validate_json(made.report.job())
    assert job.page == folder / "report" / "index.html"
    assert (job.figures, job.manifest) == (folder / "figures" / "arms", folder / "manifest.json")
    found = {
        *(job.statistics, job.comparisons, job.breakdown, job.scenarios, job.contrasts),
        *(job.discrimination, job.trainsets, job.qualification, job.winrates),
    }
    names = {path.stem for path in found - {None}}
    assert found - {None} == {tables / f"{name}.parquet" for name in names}
    published = PublishJob.model_validate_json(made.publication.job())
    shift = {"shift_statistics"} if made.shift_page else set()
    assert {path.stem for path in published.tables} == names - {"breakdown"} | shift
    assert published.tables == [tables / path.name for path in published.tables]
    assert published.run == made.report.digest
    assert published.report / "index.html" == job.page
    assert bool(job.shares) == bool(made.shift_page)


def test_a_manifest_says_first_what_the_report_is_made_of(made):
    job = ManifestJob.model_validate_json(made.report.job(experiment=str(made.plan.path)))
    assert job.spec.signed == json.loads(json.dumps(made.report.signed_spec))
    assert job.manifest == made.plan.folder / "manifest.json"


def test_a_page_checks_every_table_that_its_tables_were_made_with(made):
    job = ReportJob.model_validate_json(made.report.job())
    checked = {path for path, _, _ in job.made_of}
    beside = {job.scenarios, job.contrasts, job.winrates}
    shown = {job.statistics, job.comparisons, job.breakdown} | beside
    assert shown - {None} <= checked

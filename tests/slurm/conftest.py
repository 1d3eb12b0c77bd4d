"""A Slurm cluster, and a small experiment run twice: as it should be, and on that cluster."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkouts import copy_repository
from cluster import SlurmMissingError, running
from copies import SLURM, SMALL, Copy, until


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """Make a copy of the repository with an empty store."""

    def copy_with_small():
        folder = copy_repository(tmp_path_factory.mktemp("a $HOME of mine"))
        shutil.copy(Path(__file__).parent / "small.yaml", folder)
        return Copy(folder)

    return copy_with_small


@pytest.fixture(scope="session")
def cluster():
    """A cluster of one node."""
    try:
        with running() as started:
            yield started
    except SlurmMissingError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def local(cluster, copied):
    """A small experiment, run on this machine."""
    copy = copied()
    status, printed = copy.run("--cores", "2", *SMALL)
    assert status == 0, printed
    return copy


@dataclass
class Disturbed:
    """A run on the cluster with a cancelled, a frozen and a lost job, and what was seen."""

    copy: Copy
    printed: str
    refused: str
    jobs: list
    victims: dict


@pytest.fixture(scope="session")
def disturbed(cluster, copied):
    """A small experiment on the cluster, where three things go wrong."""
    copy, victims = copied(), {}
    run = copy.start(*SLURM, *SMALL)

    def victim(state, rule=""):
        def unharmed():
            return [j for j in cluster.running(rule) if j["JobId"] not in victims.values()]

        victims[state] = until(run, copy, unharmed)[0]["JobId"]
        return victims[state]

    try:
        cluster.cancel(victim("CANCELLED", "generate_responses"))
        cluster.freeze(victim("TIMEOUT", "generate_responses"))
        status, refused = copy.run(*SLURM, *SMALL)
        assert status != 0
        until(run, copy, lambda: cluster.state(victims["TIMEOUT"]) == "TIMEOUT")
        lost = victim("NODE_FAIL")
        cluster.set_node("DOWN")
        until(run, copy, lambda: cluster.state(lost) != "RUNNING")
        cluster.set_node("RESUME")
        assert run.wait(900) == 0, copy.printed
    finally:
        run.kill()
    return Disturbed(copy, copy.printed, refused, cluster.jobs(), victims)

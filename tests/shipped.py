"""The experiments that come with the repository."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "config" / "experiments"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))

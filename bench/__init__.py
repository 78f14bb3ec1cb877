"""Measurements, and a simulation. Both run on the fakes of app/tests; this file makes them importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "app/tests"))

"""`PYTHONPATH=app .venv/bench/bin/python -m bench.simulation` prints every result of docs/scale.md, in some minutes."""

from bench.simulation import results

results.main()

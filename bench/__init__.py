"""The measurements: `python -m bench`."""

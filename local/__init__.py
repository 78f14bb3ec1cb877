"""The product on one machine, without AWS: `python -m local` serves it."""

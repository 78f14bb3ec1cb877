"""Measurements on this machine: the product on a fake AWS in a separate process."""

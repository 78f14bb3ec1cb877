"""What runs in Lambda: the standard library, and botocore where it is chosen."""

__version__ = "1.0.0"
"""The newest release in CHANGELOG.md."""

"""The package that runs in Lambda. It needs only the standard library, and botocore if AWS_CLIENT
chooses it."""

__version__ = "1.0.0"
"""The newest release in CHANGELOG.md."""

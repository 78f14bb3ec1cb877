"""What runs in Lambda: the standard library, and botocore where it is chosen."""

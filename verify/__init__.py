"""`make verify`: the deployed product proved on an AWS account, or on the emulated AWS."""

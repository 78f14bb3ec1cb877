"""`make verify`: checks a deployment on an AWS account, or on the emulated AWS."""

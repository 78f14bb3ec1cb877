"""What docs/scale.md is about: the product above a model of AWS, in virtual time."""

"""The simulation of docs/scale.md: the product on a model of AWS, in virtual time."""

"""AWS as Terraform and the function call it: moto, with repairs."""

"""The parts of AWS that Terraform and the function call: moto, with its gaps and bugs fixed."""

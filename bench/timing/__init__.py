"""What is timed on this machine: the product above a fake AWS in a process of its own."""

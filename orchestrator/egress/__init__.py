"""What stands before the network: the only way out of an environment. Runs in the broker, with the standard library alone."""

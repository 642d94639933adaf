"""A cluster on this machine: the real servers that the roles need, and the roles."""

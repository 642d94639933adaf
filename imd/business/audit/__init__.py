"""Who did what: events of all roles, kept for a while, for operators to read."""

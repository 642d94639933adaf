"""The cluster on one machine, as far as it can be looked at without starting it."""

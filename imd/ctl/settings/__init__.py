"""``imctl settings``: what operators set for all nodes while these run."""

"""``imctl doctor``: what is wrong with an installation, what it means, and what to do."""

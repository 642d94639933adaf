"""``imctl trace``."""

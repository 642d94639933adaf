"""What a process says of itself: how lines look, which are written, what is hidden in them, and where they go."""

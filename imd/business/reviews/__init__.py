"""Messages that wait for a person's yes or no."""

"""The message pipeline."""

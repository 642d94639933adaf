"""Seeing into a running server: logging, health."""

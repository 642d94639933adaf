"""The roles, put together."""

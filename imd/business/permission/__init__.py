"""The authority on who may do what, answering over the bus."""

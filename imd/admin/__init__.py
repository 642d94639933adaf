"""The admin role: what operators tell all nodes."""

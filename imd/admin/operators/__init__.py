"""Operators: who they are, what their role lets them do, and whose a token is."""

"""Operators, as business serves them: whose a token is, and what they did."""

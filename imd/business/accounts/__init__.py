"""People: registration, login, tokens, devices."""

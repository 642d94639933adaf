"""Steps from one business schema to the next, for Alembic; ``schema.py`` is what they lead to."""

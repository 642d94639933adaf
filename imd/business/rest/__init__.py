"""REST under /api/v1: JSON in and out, one operation a line, described by its own OpenAPI document."""

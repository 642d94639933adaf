"""Permission at core."""

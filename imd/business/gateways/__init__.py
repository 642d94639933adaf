"""Gateway discovery: where a client had best connect now."""

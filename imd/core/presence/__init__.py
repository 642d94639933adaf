"""Who is online here, and who wants to know."""

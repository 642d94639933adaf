"""imctl doctor, check by check."""

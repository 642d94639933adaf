"""Friends, blocks, privacy."""

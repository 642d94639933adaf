"""What a node remembers for those who ask what became of a message."""

"""What became of a message for one receiver, told to operators."""

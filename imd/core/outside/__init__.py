"""What is stored, told to those outside who want to hear of it."""

"""The live view of the nodes."""

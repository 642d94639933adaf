"""The load generator behind ``tools/bench``: many clients in few processes, which count what they see."""

"""A Python prompt inside of the running process, over SSH, for operators."""

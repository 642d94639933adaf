"""Backups of the data folder of `twistd im`: made while it runs, checked, brought back."""

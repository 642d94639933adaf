"""Mirrors imd/, one folder a floor."""

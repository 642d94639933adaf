"""Composition: one build function a role."""

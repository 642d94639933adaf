"""Tests of imd.hooks."""

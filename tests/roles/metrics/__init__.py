"""Tests of imd.roles.metrics."""

"""Tests of imd.ops."""

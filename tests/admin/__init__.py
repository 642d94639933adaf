"""Tests of imd.admin."""

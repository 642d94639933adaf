"""Tests of imd.business.groups."""

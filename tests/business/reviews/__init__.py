"""Tests of imd.business.reviews."""

"""Tests of imd.business.operators."""

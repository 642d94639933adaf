"""Tests of imd.business.accounts."""

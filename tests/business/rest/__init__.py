"""Tests of imd.business.rest."""

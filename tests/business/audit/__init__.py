"""Tests of imd.business.audit."""

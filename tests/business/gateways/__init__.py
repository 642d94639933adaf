"""Tests of imd.business.gateways."""

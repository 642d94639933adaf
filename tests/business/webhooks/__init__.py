"""Tests of imd.business.webhooks."""

"""Calls out: signed JSON, POSTed to a server of the operator's own."""

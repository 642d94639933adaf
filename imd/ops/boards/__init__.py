"""Grafana's boards, described in Python and written to ``etc/grafana``: ``python -m imd.ops.boards.write etc/grafana``."""

"""Typed configuration: sections, the loader, the printed reference."""

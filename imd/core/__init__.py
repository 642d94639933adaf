"""The core role: gateway, messages, presence."""

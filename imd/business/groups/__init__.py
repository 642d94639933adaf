"""Groups, their members and roles, and 1:1 conversations."""

"""The business role: accounts, groups, permission, and their REST interface."""

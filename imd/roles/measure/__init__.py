"""What is measured inside a role, where no client can look."""

"""twistd entry points: options and makeService, one module a role."""

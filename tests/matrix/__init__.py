"""Who may do what: every role and every operation, REST and wire, on all roles of the server together."""

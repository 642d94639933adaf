"""Who may do what, as core applies it: business decides, core remembers and asks nobody on the way of a message."""

"""``imctl top``: a live view of what the nodes say of themselves on their metrics ports."""

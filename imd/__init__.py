"""imd: a self-hosted instant-messaging backend on Twisted."""

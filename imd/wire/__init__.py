"""Sans-I/O wire protocol: framing, Envelope codec, connection state machines."""

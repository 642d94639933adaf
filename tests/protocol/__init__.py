"""The contract's golden vectors, against the server's code and against a client's that knows only the contract."""

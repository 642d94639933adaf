"""Settings that hold for all nodes while they run: kept by version, published to everybody."""

"""`imctl migrate`: from the data folder of `twistd im` into MongoDB and MySQL."""

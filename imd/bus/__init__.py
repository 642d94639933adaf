"""The bus on which the roles meet: the port, its implementations, the subjects."""

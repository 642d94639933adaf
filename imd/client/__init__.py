"""The Python client library and the imc terminal client."""

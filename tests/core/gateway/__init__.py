"""The gateway, on a link and a clock of the test's own."""

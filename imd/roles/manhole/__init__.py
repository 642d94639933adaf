"""What operators find in the manhole of each role."""

"""Generated from protocol/ by tools/protogen; never edited."""

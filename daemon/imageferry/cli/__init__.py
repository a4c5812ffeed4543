"""The commands; each only parses, calls, prints."""

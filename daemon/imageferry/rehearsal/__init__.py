"""The clouds as local HTTP servers: for trying, for the demo, for tests."""

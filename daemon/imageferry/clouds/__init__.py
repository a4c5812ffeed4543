"""The clouds' adapters: one folder each."""

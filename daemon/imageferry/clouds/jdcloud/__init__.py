"""JD Cloud (VM images)."""

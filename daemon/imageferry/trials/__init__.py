"""Tests that people write beside their policies: read, put before the policies, judged and reported, all offline."""

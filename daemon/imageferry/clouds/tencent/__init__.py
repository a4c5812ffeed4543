"""Tencent Cloud (CVM images)."""

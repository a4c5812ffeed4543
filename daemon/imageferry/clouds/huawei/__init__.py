"""Huawei Cloud (IMS images)."""

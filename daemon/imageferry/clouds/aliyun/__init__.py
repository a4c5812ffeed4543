"""Alibaba Cloud (ECS images)."""

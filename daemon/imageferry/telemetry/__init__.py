"""What operators see: logs, metrics, the ops listener, systemd."""

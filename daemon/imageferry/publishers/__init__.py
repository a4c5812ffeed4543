"""Where completions go."""

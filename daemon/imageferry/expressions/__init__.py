"""Expressions: what a policy's ``when`` says, in CEL. Needs the extra ``cel``."""

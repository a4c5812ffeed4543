"""The pure middle: no await, clock, log, file or network."""

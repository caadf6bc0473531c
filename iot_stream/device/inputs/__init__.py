"""Where a device's readings come from: standard input, a serial line, a function, a topic."""

"""Faults: real processes, real sockets, and an independent witness of what the server accepted."""

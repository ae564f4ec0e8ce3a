"""Every rule that a program can check, each check a pure function from bytes to findings."""

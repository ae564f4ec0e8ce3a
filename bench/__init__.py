"""Every figure in docs/performance.md comes from a module here; `make bench` runs them and writes the page."""

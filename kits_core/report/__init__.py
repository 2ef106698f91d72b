"""The report of a run: figures, a methods paragraph, one self-contained HTML page."""

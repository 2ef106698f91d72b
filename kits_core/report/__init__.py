"""What a run is told with: figures, a methods paragraph, one self-contained HTML page."""

"""Where cases come from: the KiTS23 preset, folders and URLs; transfer, verification, conversion, clinical records."""

"""A scan from outside the catalog: found, read, written back as DICOM, and compared with what the model has seen."""

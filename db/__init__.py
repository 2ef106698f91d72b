"""The catalog: every case, file, run and metric in SQL."""

"""Prefect flows: ingest, prepare, train, evaluate, and pipeline, which is all of them."""

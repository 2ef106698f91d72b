"""Prefect flows: ingest, prepare, train, evaluate, and pipeline, which is all of them."""

import gc

# Python's collector looks for garbage after every 700 new objects. The imports of a flow make a million that stay, and
# a fifth of their time went into looking.
gc.set_threshold(10_000)

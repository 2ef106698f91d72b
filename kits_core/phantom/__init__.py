"""Phantom patients: label maps, painted CTs, the official folder layout, and a loopback server with faults."""

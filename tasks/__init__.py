"""Prefect tasks: one call into kits_core, one write to the catalog, and policy."""

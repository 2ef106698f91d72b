"""Prefect tasks: one call into kits_core, one write to the catalog, and policy."""

from tasks.log import make_logs_safe

make_logs_safe()  # set here, because every process that runs one of our flows or tasks imports this first

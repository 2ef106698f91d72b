"""Prefect tasks: one call into kits_core, one write to the catalog, and policy."""

from tasks.log import make_logs_safe

make_logs_safe()  # here, as every process that runs a flow or a task of ours imports this first

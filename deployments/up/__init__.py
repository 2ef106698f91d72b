"""Everything on one machine: server, pools, deployments, automations, workers; what `kits up` starts and ends."""

"""Clusters as pods: one namespace per tenant, one pod per node, made by us and by nobody else."""

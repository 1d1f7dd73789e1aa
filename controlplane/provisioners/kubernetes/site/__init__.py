"""The site as a whole: identity, permissions, isolation of tenants, proofs, machines."""

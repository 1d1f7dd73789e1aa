"""Access to the API server of a site: connections, credentials, calls."""

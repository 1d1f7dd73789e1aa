"""What API and console read from sites: the room between them and the reconciler."""

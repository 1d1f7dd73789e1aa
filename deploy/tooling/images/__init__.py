"""Container images of the catalogue's apps: what goes into them, and how they are built on this machine."""

"""Builds the container images of the apps in the catalogue."""

"""Reads what runs on a site: pods, their reasons, logs and loads."""

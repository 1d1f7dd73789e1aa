"""Nodes of this machine: what should exist of a cluster, and the folder and launcher of each attempt at a node."""

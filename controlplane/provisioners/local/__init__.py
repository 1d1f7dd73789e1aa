"""The site that is this machine: every node is a process tree below a launcher, on its own loopback address.

It does not isolate clusters from each other. Nodes outlive Slipway and are found again by their folders.

Rooms, each using only those after it: `provisioner.py`, `nodes/` (attempts on disk, what should exist of a cluster),
`runtimes/` (Python packages and Java), `layout.py` (paths) and `launcher/` (the program that is a node's parent).
"""

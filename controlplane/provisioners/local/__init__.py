"""The site that is this machine: every node is a process under a launcher of its own, on a loopback address of its own.

It isolates nobody from anybody. Nodes outlive whoever asked for them and are found again by their folders.
"""

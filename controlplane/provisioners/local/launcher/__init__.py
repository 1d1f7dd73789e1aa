"""The launcher: a small program that is the parent of one node. `start.py` is its entry.

It uses the standard library, `controlplane.system` and `controlplane.provisioners.hook_output` only. A launcher runs
beside every node, so it must stay small, and it outlives the Slipway that started it.
"""

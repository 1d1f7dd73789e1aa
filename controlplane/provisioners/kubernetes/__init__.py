"""Clusters as pods on Kubernetes. Each tenant has a namespace, each node a pod that Slipway itself creates."""

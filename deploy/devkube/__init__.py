"""A real one-node Kubernetes of the project's own, from Go modules: for development, the kube tests and benchmarks."""

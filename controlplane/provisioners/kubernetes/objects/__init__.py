"""The Kubernetes objects that Slipway creates. Pure: no calls, no files, no clock."""

from controlplane.clusters.models.cluster import Cluster, ClusterShare
from controlplane.clusters.models.node import Node, NodeLog, Observation
from controlplane.clusters.models.operation import Event, Operation, Step
from controlplane.clusters.models.site import Site

__all__ = ["Cluster", "ClusterShare", "Event", "Node", "NodeLog", "Observation", "Operation", "Site", "Step"]

"""The names of other nodes in the environment of a node."""

from dataclasses import replace

from controlplane.provisioners.node_environment import expected_nodes
from tests.provisioners.launching import cluster, desired


def test_a_node_that_is_being_replaced_keeps_its_name():
    wish = desired(cluster(), 2)
    survivors = replace(wish, nodes=wish.nodes[1:], keeps=frozenset({"worker-1", "worker-7"}))
    assert [node.name for node in expected_nodes(survivors)] == ["worker-1", "worker-7"]


def test_missing_nodes_get_the_lowest_free_names():
    wish = desired(cluster(), 3)
    alone = replace(wish, nodes=wish.nodes[1:2], keeps=frozenset({"worker-1"}))
    assert [node.name for node in expected_nodes(alone)] == ["worker-0", "worker-1", "worker-2"]

from tests.reconciler.conftest import World, world

__all__ = ["World", "world"]

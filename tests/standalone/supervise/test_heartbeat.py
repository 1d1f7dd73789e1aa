from pathlib import Path

from controlplane.standalone.supervise.heartbeat import Heartbeat, beating


def test_it_is_heard_once_for_each_beat(tmp_path: Path) -> None:
    beats = Heartbeat(tmp_path / "beat")
    assert not beats.heard()
    beat = beating(tmp_path / "beat")
    assert beats.heard()
    assert not beats.heard()
    while not beats.heard():
        beat()

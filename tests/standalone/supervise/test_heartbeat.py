from pathlib import Path

from controlplane.standalone.supervise.heartbeat import Heartbeat, start_heartbeat


def test_it_advances_once_per_beat(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "beat")
    assert not heartbeat.advanced()
    beat = start_heartbeat(tmp_path / "beat")
    assert heartbeat.advanced()
    assert not heartbeat.advanced()
    while not heartbeat.advanced():
        beat()

"""What a person's home folder holds after world, models, question and verification: nothing of ours."""

from __future__ import annotations

from tests.flows.real_world import SAMPLE, RealWorld


def test_nothing_is_written_into_the_home_folder(world: RealWorld) -> None:
    asked = world.prsm("ask", "--sample", SAMPLE, "--dry-run", "--json")
    assert asked.code == 0, asked.err
    assert world.prsm("doctor").code in (0, 4)
    written = [path for path in world.home_folder.rglob("*") if path.is_file()]
    assert written == []

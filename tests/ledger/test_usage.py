"""The meter: a use counts once, survives a kill, and a voucher's lines never change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prsm_protocol.ledger.usage import BATCH_LINES, Meter, UsageBatch, UsageBatchFixed, UsageConflict, UsageEntry
from prsm_protocol.rules.channel.usage import NOTHING_USED, Unit, UsageLine, usage_root, verify_usage
from prsm_protocol.types import FTNS, Wei

CHANNEL, OTHER = b"\x01" * 32, b"\x02" * 32
LISTING = b"\x0a" * 32


def entry(part: int, amount: int = 10, *, unit: Unit = Unit.ROWS, at: int = 0) -> UsageEntry:
    return UsageEntry(b"job", part, UsageLine(LISTING, unit, 1, Wei(amount)), at)


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    opened = Meter(tmp_path / "meter.sqlite")
    yield opened
    opened.close()


def test_same_line_twice_counts_once(meter):
    assert meter.add(CHANNEL, entry(1))
    assert not meter.add(CHANNEL, entry(1, at=99))
    assert meter.used(CHANNEL) == 10


def test_another_line_under_the_same_key_is_refused(meter):
    meter.add(CHANNEL, entry(1, 10))
    with pytest.raises(UsageConflict) as caught:
        meter.add(CHANNEL, entry(1, 11))
    assert "1 rows" in str(caught.value)
    assert meter.used(CHANNEL) == 10


def test_units_parts_and_channels_count_apart(meter):
    meter.add(CHANNEL, entry(1))
    meter.add(CHANNEL, entry(2))
    meter.add(CHANNEL, entry(1, unit=Unit.SECONDS))
    meter.add(OTHER, entry(1, 5))
    assert (meter.used(CHANNEL), meter.used(OTHER)) == (30, 5)


def test_amounts_beyond_64_bits_are_exact(meter):
    meter.add(CHANNEL, entry(1, 10**9 * FTNS))
    assert meter.used(CHANNEL) == 10**27


def test_batch_takes_unbilled_lines_in_order(meter):
    for part in range(5):
        meter.add(CHANNEL, entry(part, part))
    batch = meter.batch(CHANNEL, 1, 3)
    assert [each.amount for each in batch.lines] == [0, 1, 2]
    meter.take(batch)
    assert [each.amount for each in meter.batch(CHANNEL, 2).lines] == [3, 4]
    assert meter.unbilled(CHANNEL) == 7


def test_lines_of_a_voucher_never_change(meter):
    meter.add(CHANNEL, entry(1))
    batch = meter.batch(CHANNEL, 1)
    meter.take(batch)
    meter.add(CHANNEL, entry(2))
    meter.take(batch)
    assert meter.batch(CHANNEL, 1) == batch
    with pytest.raises(UsageBatchFixed) as caught:
        meter.take(UsageBatch(CHANNEL, 1, (*batch.lines, entry(2).line)))
    assert caught.value.values == {"sequence": 1, "stored": 1, "offered": 2}


def test_batch_of_foreign_lines_is_refused(meter):
    meter.add(CHANNEL, entry(1, 10))
    with pytest.raises(UsageBatchFixed):
        meter.take(UsageBatch(CHANNEL, 1, (entry(1, 11).line,)))
    assert meter.unbilled(CHANNEL) == 10


def test_empty_batch_is_fixed_as_empty(meter):
    batch = meter.batch(CHANNEL, 1)
    assert batch.root == NOTHING_USED
    meter.take(batch)
    meter.add(CHANNEL, entry(1))
    assert meter.batch(CHANNEL, 1).lines == ()


def test_each_line_of_a_batch_is_provable_alone(meter):
    for part in range(7):
        meter.add(CHANNEL, entry(part, part))
    batch = meter.batch(CHANNEL, 4)
    for index, line in enumerate(batch.lines):
        assert verify_usage(batch.root, line.leaf(CHANNEL, 4, index), batch.proof(index))
    assert batch.root == usage_root(CHANNEL, 4, batch.lines)
    assert batch.amount == 21


@pytest.mark.parametrize(("lines", "due"), [(BATCH_LINES - 1, False), (BATCH_LINES, True)])
def test_voucher_is_due_by_count(meter, lines, due):
    for part in range(lines):
        meter.add(CHANNEL, entry(part, 0))
    assert meter.is_due(CHANNEL, 0, 100) is due


@pytest.mark.parametrize(("now", "due"), [(999_999, False), (1_000_000, True)])
def test_voucher_is_due_by_age(meter, now, due):
    meter.add(CHANNEL, entry(1, 0))
    assert meter.is_due(CHANNEL, now, 100) is due


@pytest.mark.parametrize(("amount", "due"), [(49, False), (50, True)])
def test_voucher_is_due_before_the_window_is_spent(meter, amount, due):
    meter.add(CHANNEL, entry(1, amount))
    assert meter.is_due(CHANNEL, 0, 100) is due


def test_nothing_is_due_when_nothing_was_used(meter):
    assert not meter.is_due(CHANNEL, 10**12, 1)


_ADDS = """
import sys
from pathlib import Path
from prsm_protocol.ledger.usage import Meter, UsageEntry
from prsm_protocol.rules.channel.usage import Unit, UsageLine
meter = Meter(Path(sys.argv[1]))
part = 0
while True:
    part += 1
    meter.add(b"c" * 32, UsageEntry(b"job", part, UsageLine(bytes(32), Unit.ROWS, 1, 1), part))
    print(part, flush=True)
"""


def test_kill_forgets_no_line_that_was_acknowledged(tmp_path):
    path = tmp_path / "meter.sqlite"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-c", _ADDS, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    acknowledged = 0
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == 50:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    meter = Meter(path)
    assert meter.used(b"c" * 32) >= acknowledged
    meter.close()

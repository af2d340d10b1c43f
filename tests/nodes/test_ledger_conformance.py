"""One set of checks over the development node and over a real Hornet 2.0.1: what holds for one must hold for the other.

Hornet is built by `tests/nodes/build.sh hornet` (needs Go); without the binary its half is skipped and says so. Hornet gets
its milestones from `ledger/coordinator.py`, and never reports health without a neighbour.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from iota_sdk import Client

from prsm_protocol.ledger import codec, inclusion
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.block_json import block_to_json, payload_to_json
from prsm_protocol.ledger.client import StardustLedger
from prsm_protocol.ledger.codec import Block, TaggedData
from prsm_protocol.ledger.inclusion import Trust
from prsm_protocol.ledger.messages import State
from prsm_protocol.ledger.node.process import start_node
from prsm_protocol.ledger.transport import MessageNotFound, MilestoneNotFound, NodeRefused

CORE = "/api/core/v2"
BINARY = "application/vnd.iota.serializer-v1"
TAG = b"prsm/voucher/conformance"


def _hornet_process() -> ModuleType:
    """The neighbour module: tests are no package, so it is loaded by its path."""
    path = Path(__file__).with_name("hornet_process.py")
    spec = importlib.util.spec_from_file_location("hornet_process", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Subject:
    name: str
    url: str
    trust: Trust


@pytest.fixture(scope="module", params=["development node", "hornet"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    home = tmp_path_factory.mktemp("node")
    if request.param == "development node":
        node = start_node(home, interval=0.3)
        yield Subject(request.param, node.url, node.trust)
        node.stop()
        return
    processes = _hornet_process()
    binary = processes.find_binary()
    if binary is None:
        pytest.skip(
            "no Hornet: build it with tests/nodes/build.sh hornet (needs Go), or name its folder in PRSM_NODES_BIN"
        )
    with processes.hornet(binary, home) as (url, trust):
        yield Subject(request.param, url, trust)


@pytest.fixture(scope="module")
def ledger(subject: Subject) -> Iterator[StardustLedger]:
    with StardustLedger([subject.url], allow_unhealthy=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def http(subject: Subject) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=subject.url, trust_env=False) as client:
        yield client


def sync_to(archive: Archive, milestone: int | None) -> None:
    """Hornet calls a block referenced a moment before it names the milestone its latest."""
    assert milestone is not None
    deadline = time.monotonic() + 10
    while archive.last_milestone() < milestone:
        archive.sync()
        assert time.monotonic() < deadline


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_message_is_posted_confirmed_and_read_back(ledger):
    prepared, known = ledger.deliver(ledger.prepare(TAG, b"hello"))
    message = ledger.read(prepared.id)
    assert known.state is State.CONFIRMED
    assert (message.data, message.milestone, message.at) == (b"hello", known.milestone, known.at)


def test_same_bytes_again_are_the_same_message(ledger):
    prepared = ledger.prepare(TAG, b"again")
    assert ledger.post(prepared) == ledger.post(prepared)


def test_unmodified_sdk_posts_and_waits(subject):
    client = Client(nodes=[subject.url], ignore_node_health=True)
    id, _ = client.build_and_post_block(tag="0x" + TAG.hex(), data="0x00")
    assert client.retry_until_included(id)[0][0] == id
    assert client.get_block_metadata(id).ledgerInclusionState == "noTransaction"


def test_archive_reads_messages_back_with_receipts(ledger, subject, tmp_path):
    delivered = [ledger.deliver(ledger.prepare(TAG + b"/archive", bytes([number]))) for number in range(5)]
    posted = [prepared.id for prepared, _ in delivered]
    last = max(known.milestone or 0 for _, known in delivered)
    archive = Archive(ledger.rest, tmp_path / "archive.sqlite", [TAG], subject.trust)
    sync_to(archive, last)
    found = archive.since(TAG + b"/archive")
    assert sorted(each.id for each in found) == sorted(posted)
    for each in found:
        included = inclusion.verify(archive.receipt(each.id), subject.trust)
        assert (included.milestone, included.at) == (each.milestone, each.at)
    archive.close()


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_of_blocks_and_milestones_is_ours(ledger, http):
    prepared, known = ledger.deliver(ledger.prepare(TAG, b"form"))
    id, index = prepared.id, known.milestone
    raw = http.get(f"{CORE}/blocks/0x{id.hex()}", headers={"Accept": BINARY}).content
    assert codec.encode(codec.decode(raw)) == raw
    assert http.get(f"{CORE}/blocks/0x{id.hex()}").json() == block_to_json(codec.decode(raw))
    payload = http.get(f"{CORE}/milestones/by-index/{index}", headers={"Accept": BINARY}).content
    milestone = codec.decode_milestone(payload)
    assert http.get(f"{CORE}/milestones/by-index/{index}").json() == payload_to_json(milestone)
    assert http.get(f"{CORE}/milestones/0x{milestone.id.hex()}").json()["index"] == index


def test_metadata_has_the_same_fields(ledger, http):
    id = ledger.deliver(ledger.prepare(TAG, b"metadata"))[0].id
    answer = http.get(f"{CORE}/blocks/0x{id.hex()}/metadata").json()
    assert {name: type(value) for name, value in answer.items()} == {
        "blockId": str,
        "parents": list,
        "isSolid": bool,
        "referencedByMilestoneIndex": int,
        "ledgerInclusionState": str,
        "whiteFlagIndex": int,
    }


def test_white_flag_index_is_the_place_in_our_order(ledger, http, subject, tmp_path):
    prepared, known = ledger.deliver(ledger.prepare(TAG + b"/place", b""))
    id, milestone = prepared.id, known.milestone
    archive = Archive(ledger.rest, tmp_path / "archive.sqlite", [TAG + b"/place"], subject.trust)
    sync_to(archive, milestone)
    assert archive.receipt(id).leaf == http.get(f"{CORE}/blocks/0x{id.hex()}/metadata").json()["whiteFlagIndex"]
    archive.close()


def test_info_has_the_same_fields(http):
    answer = http.get(CORE + "/info").json()
    protocol = answer["protocol"]
    assert (protocol["version"], protocol["minPowScore"], protocol["belowMaxDepth"]) == (2, 0, 15)
    assert set(answer["status"]) == {"isHealthy", "latestMilestone", "confirmedMilestone", "pruningIndex"}


def test_tips_are_known_blocks_up_to_eight(ledger, http):
    ledger.post(ledger.prepare(TAG, b"a tip"))
    tips = ledger.transport.tips()
    assert 1 <= len(tips) <= 8
    for tip in tips:
        assert http.get(f"{CORE}/blocks/0x{tip.hex()}").status_code == 200


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_there_has_one_error(ledger):
    with pytest.raises(MessageNotFound):
        ledger.transport.block(b"\x11" * 32)
    with pytest.raises(MessageNotFound):
        ledger.transport.metadata(b"\x11" * 32)
    with pytest.raises(MilestoneNotFound):
        ledger.transport.milestone(1_000_000)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{CORE}/blocks/0x" + "11" * 32, 404),
        (f"{CORE}/blocks/0x" + "zz" * 32, 400),  # short ids differ: Hornet pads them, the development node refuses
        (f"{CORE}/blocks/" + "11" * 32, 400),
        (f"{CORE}/milestones/0x11", 400),
        (f"{CORE}/milestones/by-index/4294967296", 400),
        (f"{CORE}/milestones/by-index/1000000", 404),
        (f"{CORE}/milestones/by-index/one", 400),
        ("/api/core/v2/nothing", 404),
    ],
)
def test_refusals_have_one_form(http, path, status):
    answer = http.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == str(status)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("damage", ["left over", "cut", "version", "unsorted parents"])
def test_malformed_blocks_are_refused(ledger, damage):
    parents = tuple(sorted({*ledger.transport.tips(), b"\xff" * 32}))
    raw = codec.encode(Block(parents, TaggedData(TAG, b"")))
    broken = {
        "left over": raw + b"\0",
        "cut": raw[:-1],
        "version": b"\x09" + raw[1:],
        "unsorted parents": raw[:2] + b"".join(reversed(parents)) + raw[2 + 32 * len(parents) :],
    }
    with pytest.raises(NodeRefused) as caught:
        ledger.rest.post(broken[damage])
    assert str(caught.value.values["message"]).startswith("400")


def test_health_answers_without_a_body(http, subject):
    answer = http.get("/health")
    expected = 503 if subject.name == "hornet" else 200  # a lone Hornet has no neighbour
    assert (answer.status_code, answer.content) == (expected, b"")


def test_milestones_go_on_in_time_and_chain(ledger, http, subject):
    first = http.get(CORE + "/info").json()["status"]["latestMilestone"]["index"]
    deadline = time.monotonic() + 20
    while ledger.info().latest < first + 2:
        ledger.post(ledger.prepare(TAG, b"go on"))
        assert time.monotonic() < deadline
    one, two = (codec.decode_milestone(ledger.transport.milestone(first + each)) for each in (0, 1))
    assert two.previous == one.id
    assert two.timestamp > one.timestamp
    for each in (one, two):
        inclusion.check_milestone(each, subject.trust)

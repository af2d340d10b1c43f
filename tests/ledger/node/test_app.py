"""The node's HTTP answers, those of errors above all, over a real process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prsm_protocol.ledger import codec
from prsm_protocol.ledger.codec import Block, TaggedData
from prsm_protocol.ledger.node.process import NodeNotStarted, NodeProcess, start_node

CORE = "/api/core/v2"
BINARY = {"Content-Type": "application/vnd.iota.serializer-v1"}
WANTS_BINARY = {"Accept": "application/vnd.iota.serializer-v1"}
UNKNOWN = "0x" + "11" * 32


@pytest.fixture(scope="module")
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url, trust_env=False) as client:
        yield client


def fresh(http: httpx.Client, data: bytes = b"") -> bytes:
    tips = [bytes.fromhex(each[2:]) for each in http.get(CORE + "/tips").json()["tips"]]
    return codec.encode(Block(tuple(sorted(tips)), TaggedData(b"prsm/notice/", data)))


def confirmed(http: httpx.Client, id: str) -> dict[str, object]:
    for _ in range(100):
        answer = http.get(f"{CORE}/blocks/{id}/metadata").json()
        if "referencedByMilestoneIndex" in answer:
            return answer
        time.sleep(0.05)
    pytest.fail("no milestone within 5 s")


@pytest.fixture(scope="module")
def posted(http: httpx.Client) -> str:
    return str(http.post(CORE + "/blocks", content=fresh(http, b"posted"), headers=BINARY).json()["blockId"])


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_info_has_every_field_that_hornet_answers(http):
    vectors = Path(__file__).parents[2] / "vectors/iota_stardust_exchange.json"
    recorded = json.loads(vectors.read_text())["exchange"][0]["response"]

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {name: shape(each) for name, each in value.items()}
        return float if type(value) is int else type(value)  # JSON knows one kind of number

    assert shape(http.get(CORE + "/info").json()) == shape(recorded)


def test_health_and_routes_answer(http):
    assert http.get("/health").status_code == 200
    assert "core/v2" in http.get("/api/routes").json()["routes"]


def test_post_answers_created_with_its_place(http):
    raw = fresh(http, b"created")
    answer = http.post(CORE + "/blocks", content=raw, headers=BINARY)
    id = "0x" + codec.block_id(raw).hex()
    assert (answer.status_code, answer.headers["Location"], answer.json()) == (201, id, {"blockId": id})


def test_same_bytes_again_get_the_same_answer(http):
    raw = fresh(http, b"again")
    answers = [http.post(CORE + "/blocks", content=raw, headers=BINARY) for _ in range(3)]
    assert {(each.status_code, each.text) for each in answers} == {(201, answers[0].text)}


def test_block_comes_back_as_json_and_as_bytes(http, posted):
    answer = http.get(f"{CORE}/blocks/{posted}")
    assert answer.json()["payload"]["data"] == "0x" + b"posted".hex()
    raw = http.get(f"{CORE}/blocks/{posted}", headers=WANTS_BINARY)
    assert raw.headers["content-type"] == "application/vnd.iota.serializer-v1"
    assert "0x" + codec.block_id(raw.content).hex() == posted


def test_metadata_has_the_recorded_fields_once_confirmed(http, posted):
    answer = confirmed(http, posted)
    assert set(answer) == {
        "blockId",
        "parents",
        "isSolid",
        "referencedByMilestoneIndex",
        "ledgerInclusionState",
        "whiteFlagIndex",
    }
    assert answer["ledgerInclusionState"] == "noTransaction"


def test_milestone_is_the_same_by_index_id_json_and_bytes(http, posted):
    index = confirmed(http, posted)["referencedByMilestoneIndex"]
    raw = http.get(f"{CORE}/milestones/by-index/{index}", headers=WANTS_BINARY).content
    milestone = codec.decode_milestone(raw)
    by_id = http.get(f"{CORE}/milestones/0x{milestone.id.hex()}")
    assert by_id.json() == http.get(f"{CORE}/milestones/by-index/{index}").json()
    assert by_id.json()["index"] == index == milestone.index
    empty = {"index": index, "createdOutputs": [], "consumedOutputs": []}
    assert http.get(f"{CORE}/milestones/by-index/{index}/utxo-changes").json() == empty


def test_receipt_is_created_and_validated(http, posted):
    confirmed(http, posted)
    receipt = http.get("/api/poi/v1/create/" + posted).json()
    assert http.post("/api/poi/v1/validate", json=receipt).json() == {"valid": True}
    receipt["block"]["nonce"] = "1"
    assert http.post("/api/poi/v1/validate", json=receipt).status_code == 400
    forged = http.get("/api/poi/v1/create/" + posted).json()
    signature = forged["milestone"]["signatures"][0]["signature"]
    forged["milestone"]["signatures"][0]["signature"] = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    assert http.post("/api/poi/v1/validate", json=forged).json() == {"valid": False}


def test_milestones_stand_still_while_nothing_waits(http, posted):
    confirmed(http, posted)
    time.sleep(0.3)
    before = http.get(CORE + "/info").json()["status"]["latestMilestone"]["index"]
    time.sleep(0.7)
    assert http.get(CORE + "/info").json()["status"]["latestMilestone"]["index"] == before


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{CORE}/blocks/{UNKNOWN}", 404),
        (f"{CORE}/blocks/{UNKNOWN}/metadata", 404),
        (f"{CORE}/milestones/{UNKNOWN}", 404),
        (f"{CORE}/milestones/by-index/999999", 404),
        (f"{CORE}/milestones/by-index/999999/utxo-changes", 404),
        (f"/api/poi/v1/create/{UNKNOWN}", 404),
        (f"{CORE}/outputs/{UNKNOWN}0000", 404),
        ("/nothing", 404),
        (f"{CORE}/blocks/0x11", 400),
        (f"{CORE}/blocks/" + "11" * 33, 400),
        (f"{CORE}/blocks/0x" + "zz" * 32, 400),
        (f"{CORE}/milestones/by-index/-1", 400),
        (f"{CORE}/milestones/by-index/one", 400),
        (f"{CORE}/milestones/by-index/4294967295", 404),
        (f"{CORE}/milestones/by-index/4294967296", 400),
    ],
)
def test_refusal_has_the_form_of_the_vectors(http, path, status):
    answer = http.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert answer.json()["error"]["code"] == str(status)


def refused(http: httpx.Client, raw: bytes) -> str:
    answer = http.post(CORE + "/blocks", content=raw, headers=BINARY)
    assert answer.status_code == 400
    return str(answer.json()["error"]["message"])


def test_post_refuses_by_rule(http, posted):
    good = fresh(http)
    assert "32768" in refused(http, bytes(32_769))
    assert "version 3" in refused(http, b"\x03" + good[1:])
    assert "left over" in refused(http, good + b"\0")
    assert "unknown here" in refused(http, b"\x02\x01" + b"\x11" * 32 + bytes(12))
    assert "needs" in refused(http, b"")
    index = confirmed(http, posted)["referencedByMilestoneIndex"]
    parents = codec.decode_milestone(
        http.get(f"{CORE}/milestones/by-index/{index}", headers=WANTS_BINARY).content
    ).parents
    for parent in parents:
        raw = http.get(f"{CORE}/blocks/0x{parent.hex()}", headers=WANTS_BINARY).content
        if isinstance(codec.decode(raw).payload, codec.Milestone):
            changed = raw[:-8] + b"\x01" + raw[-7:]
            assert "own keys" in refused(http, changed)


def test_recorded_transaction_is_refused_as_absent(http):
    vectors = Path(__file__).parents[2] / "vectors/iota_stardust_exchange.json"
    posts = [each for each in json.loads(vectors.read_text())["exchange"] if each["method"] == "POST"]
    assert "data only" in refused(http, bytes.fromhex(posts[1]["request"]["hex"]))


@pytest.mark.parametrize("kind", ["application/json", "", "text/plain"])
def test_post_takes_binary_only(http, kind):
    answer = http.post(CORE + "/blocks", content=fresh(http), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "415"


def test_wrong_method_is_refused_in_the_same_form(http):
    answer = http.delete(CORE + "/tips")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "405")


def test_receipt_of_a_waiting_block_is_refused(home):
    node = start_node(home, interval=5.0)
    try:
        with httpx.Client(base_url=node.url, trust_env=False) as http:
            http.post(CORE + "/blocks", content=fresh(http, b"first"), headers=BINARY)
            id = http.post(CORE + "/blocks", content=fresh(http, b"second"), headers=BINARY).json()["blockId"]
            answer = http.get("/api/poi/v1/create/" + id)
            assert answer.status_code == 400
            assert "not referenced" in answer.json()["error"]["message"]
    finally:
        node.stop()


def test_posts_over_the_rate_are_told_when_to_come_back(home):
    node = start_node(home, rate=5)
    try:
        with httpx.Client(base_url=node.url, trust_env=False) as http:
            raw = fresh(http)
            codes = [http.post(CORE + "/blocks", content=raw, headers=BINARY) for _ in range(20)]
            assert [each.status_code for each in codes[:5]] == [201] * 5
            busy = [each for each in codes if each.status_code == 429]
            assert busy
            assert busy[0].headers["Retry-After"] == "1"
            assert busy[0].json()["error"]["code"] == "429"
    finally:
        node.stop()


# ── starting and stopping ────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prsm_protocol.ledger.node", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_second_instance_ends_with_home_busy(home):
    node = start_node(home)
    try:
        second = run("--home", str(home), "--listen", "127.0.0.1:0")
        assert second.returncode == 7
        told = json.loads(second.stderr)
        assert told["type"] == "HomeBusy"
        assert str(node.pid) in told["detail"]
    finally:
        node.stop()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.168.1.1:0", "[::]:0", "somewhere:0", "127.0.0.1:x"])
def test_other_addresses_than_loopback_are_refused(home, address):
    done = run("--home", str(home), "--listen", address)
    assert (done.returncode, json.loads(done.stderr)["type"]) == (2, "NodeExposed")


def test_keeping_too_few_milestones_is_refused(home):
    assert json.loads(run("--home", str(home), "--keep", "29").stderr)["type"] == "KeepTooFew"


def test_stop_is_clean_and_a_restart_goes_on(home):
    node = start_node(home)
    with httpx.Client(base_url=node.url, trust_env=False) as http:
        id = http.post(CORE + "/blocks", content=fresh(http), headers=BINARY).json()["blockId"]
    keys = node.keys
    node.stop()
    assert node.process.returncode == 0
    again = start_node(home)
    try:
        assert again.keys == keys
        assert httpx.get(f"{again.url}{CORE}/blocks/{id}", trust_env=False).status_code == 200
    finally:
        again.stop()


def test_start_that_fails_tells_why(home):
    node = start_node(home)
    try:
        with pytest.raises(NodeNotStarted, match="in use by process"):
            start_node(home)
    finally:
        node.stop()

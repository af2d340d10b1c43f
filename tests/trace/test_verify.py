"""The standalone verifier: everything holds for an honest run, and each lie turns exactly its own check FALSE."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from prsm_protocol.trace import bundle, car, dag_cbor, redact, verify
from prsm_protocol.types import DAG_CBOR, Cid

SCRIPT = Path(verify.__file__)
ALL = [f"V{number}" for number in range(1, 15)]


def check(data: bytes, chain: verify.Chain | None = None, **options: Any) -> dict[str, verify.Check]:
    return {found.name: found for found in verify.verify(verify.read_run(data), chain, **options)}


class LocalChain(verify.Chain):
    """The made-up chain without a server between."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain
        self._receipts: dict[bytes, Any] = {}

    def ask(self, method: str, *params: Any) -> Any:
        try:
            return self._chain.answer(method, list(params))
        except ValueError as error:
            raise verify.Refused(str(error)) from None


def false_ones(checks: dict[str, verify.Check]) -> set[str]:
    return {name for name, found in checks.items() if found.status == verify.FALSE}


def shown(checks: dict[str, verify.Check]) -> dict[str, list[str]]:
    return {name: found.wrong + found.open for name, found in checks.items() if found.status != verify.OK}


# ── honest runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_check_is_ok_for_an_honest_run(whole: Any, served: Callable[[Any], str]) -> None:
    checks = check(whole.data, verify.Chain(served(whole.chain)))
    assert shown(checks) == {}
    assert list(checks) == ALL


def test_chain_and_proofs_are_not_checked_without_a_node(whole: Any) -> None:
    checks = check(whole.data)
    assert set(shown(checks)) == {"V11", "V12"}
    assert false_ones(checks) == set()
    assert all("--rpc" in reason for reasons in shown(checks).values() for reason in reasons)


def test_chain_is_not_checked_when_the_node_does_not_answer(whole: Any) -> None:
    checks = check(whole.data, verify.Chain("http://127.0.0.1:9"))
    assert set(shown(checks)) == {"V11", "V12"}
    assert false_ones(checks) == set()


def test_signatures_hold_without_openssl(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "HAS_OPENSSL", False)
    assert false_ones(check(whole.data)) == set()


def test_asker_and_escrow_are_pinned(whole: Any, synthetic: Any) -> None:
    escrow = synthetic.CONTRACTS["escrow"]
    assert false_ones(check(whole.data, asker=synthetic.ASKER.did, escrow=escrow)) == set()
    assert false_ones(check(whole.data, asker=synthetic.NODE.did)) == {"V4"}
    assert false_ones(check(whole.data, escrow=bytes(20))) == {"V11"}


# ── the script as a stranger runs it ─────────────────────────────────────────────────────────────────────────────────


def run_script(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-I", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_script_ends_with_each_exit_code(whole: Any, served: Callable[[Any], str], tmp_path: Path) -> None:
    url = served(whole.chain)
    code, text = run_script(str(whole.path), "--rpc", url)
    assert code == 0, text
    assert text.splitlines()[-1] == "everything holds"
    assert run_script(str(whole.path))[0] == 4
    altered = tmp_path / "altered.car"
    altered.write_bytes(whole.data[:-1] + bytes((whole.data[-1] ^ 1,)))
    code, text = run_script(str(altered), "--rpc", url)
    assert (code, "FALSE       V1" in text) == (1, True)
    assert run_script(str(tmp_path / "absent.car"))[0] == 2
    assert run_script()[0] == 2


def test_script_prints_one_object_with_json(whole: Any) -> None:
    code, text = run_script(str(whole.path), "--json")
    report = json.loads(text)
    assert code == report["exit"] == 4
    assert [found["check"] for found in report["checks"]] == ALL
    assert {found["status"] for found in report["checks"]} == {"ok", "not checked"}


def test_script_imports_only_the_standard_library() -> None:
    imported = {
        line.split()[1].split(".")[0]
        for line in SCRIPT.read_text().splitlines()
        if line.strip().startswith(("import ", "from ")) and not line.strip().startswith("from the")
    }
    allowed = {*sys.stdlib_module_names, "cryptography"}
    assert imported - allowed == {"from"} - allowed or imported <= allowed


# ── lies ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Lie:
    """Hooks of the builder, a change of the finished file, or a change of the chain."""

    false: str
    hooks: dict[str, Callable[[Any], Any]]
    file: Callable[[Any, bytes], bytes] = lambda built, data: data
    chain: Callable[[Any, Any], None] = lambda synthetic, chain: None


def sections(data: bytes) -> tuple[list[Cid], list[tuple[Cid, bytes]]]:
    roots, found = car.read(io.BytesIO(data))
    return list(roots), list(found)


def packed(roots: list[Cid], found: list[tuple[Cid, bytes]]) -> bytes:
    out = io.BytesIO()
    car.write(out, roots, found)
    return out.getvalue()


def swap_block(find: bytes, put: bytes) -> Callable[[Any, bytes], bytes]:
    """Change bytes of one block and keep its id."""

    def change(built: Any, data: bytes) -> bytes:
        roots, found = sections(data)
        hits = [at for at, (_, block) in enumerate(found) if find in block]
        assert hits
        cid, block = found[hits[0]]
        found[hits[0]] = (cid, block.replace(find, put, 1))
        return packed(roots, found)

    return change


def drop_block(*needles: bytes) -> Callable[[Any, bytes], bytes]:
    def change(built: Any, data: bytes) -> bytes:
        roots, found = sections(data)
        hit = next(cid for cid, block in found if all(needle in block for needle in needles))
        return packed(roots, [(cid, block) for cid, block in found if cid != hit])

    return change


def add_block(built: Any, data: bytes) -> bytes:
    roots, found = sections(data)
    extra = dag_cbor.encode({"v": 1, "kind": "stray"})
    return packed(roots, [*found, (Cid.of(extra, DAG_CBOR), extra)])


def repeat_block(built: Any, data: bytes) -> bytes:
    roots, found = sections(data)
    return packed(roots, [*found, found[0]])


def change_openings(change: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, bytes], bytes]:
    """Write another openings block and name it in the header."""

    def again(built: Any, data: bytes) -> bytes:
        roots, found = sections(data)
        block = dag_cbor.decode(dict(found)[roots[1]])
        assert isinstance(block, dict)
        change(built, block)
        new = dag_cbor.encode(block)
        cid = Cid.of(new, DAG_CBOR)
        found = [(cid, new) if old == roots[1] else (old, data) for old, data in found]
        return packed([roots[0], cid, roots[2]], found)

    return again


def false_salt(built: Any, block: dict[str, Any]) -> None:
    for opening in block["openings"]:
        if opening["digest"] == built.notes["spare"].digest:
            opening["salt"] = bytes(32)


def surplus_opening(built: Any, block: dict[str, Any]) -> None:
    block["openings"].append({**block["openings"][0], "digest": bytes(32)})


def body(number: int, **fields: Any) -> dict[str, Callable[[Any], Any]]:
    return {"body": lambda one: replace(one, **fields) if one.seq == number else one}


def unsigned(kind: str) -> Callable[[Any], Any]:
    return lambda one: replace(one, signature=bytes((one.signature[0] ^ 1,)) + one.signature[1:])


def older_head(**fields: Any) -> dict[str, Callable[[Any], Any]]:
    return {"head": lambda head: replace(head, **fields) if head.previous is None else head}


def node_field(name: str, **fields: Any) -> dict[str, Callable[[Any], Any]]:
    return {"graph": lambda graph: replace(graph, nodes={**graph.nodes, name: replace(graph.nodes[name], **fields)})}


def output(node: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Callable[[Any], Any]]:
    return {f"output {node}": lambda payload: _changed(payload, change)}


def answer(change: Callable[[dict[str, Any]], Any]) -> dict[str, Callable[[Any], Any]]:
    return {"answer": lambda payload: _changed(payload, change)}


def _changed(payload: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    copy = dag_cbor.decode(dag_cbor.encode(payload))
    assert isinstance(copy, dict)
    change(copy)
    return copy


def plus_one(values: list[int], at: int = 0) -> None:
    values[at] += 1


def plus_one_key(values: dict[str, int], key: str) -> None:
    values[key] += 1


def in_a_circle(graph: Any) -> Any:
    back = replace(graph.edges[0], source=graph.edges[0].target, target=graph.edges[0].source)
    return replace(graph, edges=(*graph.edges, back))


def only_benign(checks: Any) -> Any:
    return (checks[0], replace(checks[1], arguments={"labels": ["benign"]}))


def swap_words(block: dict[str, Any]) -> None:
    block["words"][0], block["words"][1] = block["words"][1], block["words"][0]


def move_one(block: dict[str, Any]) -> None:
    """One unit from one feature to another: the sum still holds."""
    block["attributions"][0][0] += 1
    block["attributions"][0][1] -= 1


def first_claim(change: Callable[[dict[str, Any]], Any], computed: bool = True) -> dict[str, Callable[[Any], Any]]:
    kind = "attempt" if computed else "document"
    return answer(lambda a: change(next(claim for claim in a["claims"] if kind in claim["citations"][0])))


def claim_of(name: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Callable[[Any], Any]]:
    return answer(lambda a: change(next(claim for claim in a["claims"] if claim["id"].startswith(name))))


def count_one_more(claim: dict[str, Any]) -> None:
    count = len(json.loads(claim["value"]))
    assert claim["text"].startswith(f"{count} of ")
    claim["text"] = claim["text"].replace(f"{count} of ", f"{count + 1} of ", 1)


def swap_shares(claim: dict[str, Any]) -> None:
    shares = json.loads(claim["value"])
    first, second = list(shares)[:2]
    shares[first], shares[second] = shares[second], shares[first]
    claim["value"] = json.dumps(shares)


def turn_verdict(claim: dict[str, Any]) -> None:
    assert (
        "No difference is shown between deep and flat" in claim["text"] or "deep is better than flat" in claim["text"]
    )
    text = claim["text"].replace("No difference is shown between deep and flat", "flat is better than deep")
    claim["text"] = text.replace("deep is better than flat", "flat is better than deep")


def right_by_one(claim: dict[str, Any]) -> None:
    right = json.loads(claim["value"])["right"]
    assert f"{right[0]} and {right[1]} right" in claim["text"]
    claim["text"] = claim["text"].replace(f"{right[0]} and {right[1]} right", f"{right[0]} and {right[1] + 1} right")


def digits_swapped(claim: dict[str, Any]) -> None:
    number = next(character for character in claim["text"] if character.isdigit())
    claim["text"] = claim["text"].replace(number, "8888", 1)


def other_rows(claim: dict[str, Any]) -> None:
    claim["value"] = json.dumps(json.loads(claim["value"])[1:])


def more_fee(synthetic: Any, chain: Any) -> None:
    logs = next(logs for logs in chain.transactions.values() if len(logs) == 3)
    words = bytes.fromhex(logs[2]["data"][2:])
    net, fee = (int.from_bytes(words[at : at + 32], "big") for at in (0, 32))
    logs[2]["data"] = "0x" + ((net - 1).to_bytes(32, "big") + (fee + 1).to_bytes(32, "big") + words[64:]).hex()


def less_royalty(synthetic: Any, chain: Any) -> None:
    logs = next(logs for logs in chain.transactions.values() if len(logs) == 3)
    logs[1]["data"] = "0x" + (1).to_bytes(32, "big").hex()


def forget(name: str) -> Callable[[Any, Any], None]:
    return lambda synthetic, chain: chain.transactions.pop(synthetic.digest(name))


def hidden_task(synthetic: Any, chain: Any) -> None:
    chain.assigned.append(bytes(32))
    chain.tasks[bytes(32)] = 3


def refuse_proof(synthetic: Any, chain: Any) -> None:
    chain.proofs.pop()


def no_code(synthetic: Any, chain: Any) -> None:
    chain.getters.clear()


def other_hub(synthetic: Any, chain: Any) -> None:
    chain.getters[("escrow", "hub()")] = "router"


def other_input(task: Any) -> Any:
    return replace(task, rows=(task.rows[0] + 1,)) if task.rows == (0,) else task


def other_proof(task: Any) -> Any:
    return replace(task, proof=b"another proof") if task.rows == (0,) else task


def other_layout(task: Any) -> Any:
    return replace(task, layout=replace(task.layout, hashed=False)) if task.rows == (0,) else task


def falling_vouchers(value: Any) -> Any:
    channel = value.channels[0]
    return replace(value, channels=(replace(channel, vouchers=channel.vouchers[::-1]),))


def foreign_signer(value: Any) -> Any:
    channel = value.channels[0]
    first = channel.vouchers[0]
    forged = replace(first, signature=bytes((first.signature[0] ^ 1,)) + first.signature[1:])
    return replace(value, channels=(replace(channel, vouchers=(forged, *channel.vouchers[1:])),))


def other_anchor(value: Any) -> Any:
    return replace(value, anchor=replace(value.anchor, digest=bytes(32)))


LIES: dict[str, Lie] = {
    "a block is altered": Lie("V1", {}, swap_block(b"planner", b"planmer")),
    "a block is in another form": Lie("V2", {"route explain": lambda data: data.replace(b"av\x01", b"av\x18\x01")}),
    "a block stands twice": Lie("V2", {}, repeat_block),
    "a block has no kind": Lie("V2", {"spec goal": lambda payload: {"text": payload["text"]}}),
    "an event's number is another": Lie("V3", body(5, seq=6)),
    "an event is of another run": Lie("V3", body(5, run=bytes(16))),
    "an event is not signed": Lie("V4", {"event": lambda one: unsigned("event")(one) if one.body.seq == 4 else one}),
    "a receipt is not signed": Lie("V4", {"signed receipt": unsigned("receipt")}),
    "an event is later than its key may write": Lie("V4", body(5, wall_us=3 * 10**15)),
    "a voucher is not signed": Lie("V4", {"evidence": foreign_signer}),
    "a head's root is another": Lie("V5", older_head(merkle_root=bytes(32))),
    "a head counts fewer events": Lie("V5", older_head(events=3)),
    "a block is missing": Lie("V6", {}, drop_block(b"decision", b"explain", b"route")),
    "nothing leads to a block": Lie("V6", {}, add_block),
    "an opening opens nothing": Lie("V6", {}, change_openings(surplus_opening)),
    "an opening has another salt": Lie("V7", {}, change_openings(false_salt)),
    "a rank does not fall": Lie("V8", node_field("explain", rank=3)),
    "children have more than their parent": Lie("V8", node_field("explain", budget=2 * 10**18)),
    "tasks wait in a circle": Lie("V8", {"graph": in_a_circle}),
    "an acceptance check does not hold": Lie("V9", {"checks predict": only_benign}),
    "an acceptance check was not passed": Lie("V9", {"attempt predict": lambda a: replace(a, verdicts=a.verdicts[:1])}),
    "more was charged than quoted": Lie("V10", {"attempt predict": lambda a: replace(a, quoted=a.charged - 1)}),
    "spent does not sum up": Lie("V10", older_head(spent=1)),
    "vouchers fall": Lie("V10", {"evidence": falling_vouchers}),
    "the chain took another fee": Lie("V11", {}, chain=more_fee),
    "the chain accrued less royalty": Lie("V11", {}, chain=less_royalty),
    "the job was never opened": Lie("V11", {}, chain=forget("open")),
    "the rest was never returned": Lie("V11", {}, chain=forget("close")),
    "the root is not anchored": Lie("V11", {}, chain=forget("anchor")),
    "the voucher was not settled": Lie("V11", {}, chain=forget("settle")),
    "a payment is hidden": Lie("V11", {}, chain=hidden_task),
    "the escrow names another hub": Lie("V11", {}, chain=other_hub),
    "the budget was for another question": Lie("V11", {"terms": lambda terms: replace(terms, question=bytes(32))}),
    "no contract is where the escrow should be": Lie("V11", {}, chain=no_code),
    "something else was anchored": Lie("V11", {"evidence": other_anchor}),
    "the verifier refuses a proof": Lie("V12", {}, chain=refuse_proof),
    "a proof is of another row": Lie("V12", {"task": other_input}),
    "a proof is another": Lie("V12", {"task": other_proof}),
    "a circuit has another layout": Lie("V12", {"task": other_layout}),
    "words are of another row": Lie("V12", output("predict", swap_words)),
    "a citation leads nowhere": Lie("V13", first_claim(lambda claim: claim["citations"][0].update(path="/nowhere"))),
    "a claim cites nothing": Lie("V13", first_claim(lambda claim: claim.update(citations=[]))),
    "a claim's number is another": Lie("V13", first_claim(digits_swapped)),
    "a claim counts one row more": Lie("V13", claim_of("predict.class", count_one_more)),
    "a claim swaps two features' shares": Lie("V13", claim_of("explain.ranking", swap_shares)),
    "a claim turns the verdict": Lie("V13", claim_of("compare.verdict", turn_verdict)),
    "a claim moves a statistic by one": Lie("V13", claim_of("compare.verdict", right_by_one)),
    "a claim names other rows": Lie("V13", first_claim(other_rows)),
    "a quote stands elsewhere": Lie("V13", first_claim(lambda claim: claim["citations"][0].update(start=1), computed=False)),
    "a quote is another text": Lie("V13", output("retrieve", lambda o: plus_one_key(o["quotes"][0], "start"))),
    "an unsupported sentence is unmarked": Lie("V13", first_claim(lambda claim: claim.update(support="none"))),
    "the answer's table shows other labels": Lie("V13", answer(lambda a: a["tables"][0]["rows"][0].__setitem__(1, "unknown"))),
    "the head answers something else": Lie("V13", {"answer in the head": lambda pair: pair[::-1]}),
    "the answer calls itself trusted": Lie("V13", answer(lambda a: a.update(tier="trusted"))),
    "an attribution is moved": Lie("V14", output("explain", move_one)),
    "a p-value is another": Lie("V14", output("compare", lambda o: o.update(mcnemar_p_ppm=o["mcnemar_p_ppm"] - 1))),
    "an interval is another": Lie("V14", output("compare", lambda o: o.update(low_ppm=o["low_ppm"] + 1))),
    "a mean is another": Lie("V14", output("calculate", lambda o: o.update(value="12.5"))),
    "a model's words are another": Lie("V14", output("compare.a", lambda o: plus_one(o["words"][0]))),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_one_lie_turns_exactly_one_check_false(name: str, synthetic: Any, tmp_path: Path) -> None:
    lie = LIES[name]
    built = synthetic.build(tmp_path, lie.hooks)
    lie.chain(synthetic, built.chain)
    data = lie.file(built, built.data)
    checks = check(data, LocalChain(built.chain))
    assert false_ones(checks) == {lie.false}, shown(checks)


def test_lies_cover_every_check() -> None:
    assert {lie.false for lie in LIES.values()} == set(ALL)


# ── flipped bits, redacted copies, hostile files ─────────────────────────────────────────────────────────────────────


def exit_of(data: bytes) -> tuple[int, set[str]]:
    """(exit code, checks that are FALSE) of a file, without a chain."""
    try:
        checks = verify.verify(verify.read_run(data))
    except verify.Unreadable:
        return 2, set()
    return verify.exit_code(checks), {found.name for found in checks if found.status == verify.FALSE}


def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "check_recomputation", lambda run, check: None)
    monkeypatch.setattr(verify, "recover", lambda digest, signature: None)


def test_no_flipped_bit_passes(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # What costs seconds and looks at nothing that the flipped bit could hide is left out of these 200 runs.
    quickly(monkeypatch)
    size = len(whole.data) * 8
    codes = []
    for number in range(200):
        bit = size * number // 200 + number % 8
        data = bytearray(whole.data)
        data[bit // 8] ^= 1 << bit % 8
        code, names = exit_of(bytes(data))
        assert code in (1, 2), f"bit {bit}: exit {code}"
        assert code == 2 or names - {"V4"}, f"bit {bit}: exit 1 without a check that is false"
        codes.append(code)
    assert codes.count(1) > 150


def test_no_flipped_bit_of_the_header_passes(whole: Any) -> None:
    length = len(sections(whole.data)[0]) * 41 + 20
    for bit in range(0, length * 8, 5):
        data = bytearray(whole.data)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(verify.Unreadable):
            verify.read_run(bytes(data))


def test_a_flipped_codec_is_found(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id's codec is not hashed with its block: links find it, not hashes."""
    quickly(monkeypatch)
    _, found = sections(whole.data)
    end = len(whole.data)
    for cid, block in reversed(found[-24:]):
        start = end - len(block) - 36
        assert whole.data[start : start + 36] == cid.bytes
        data = bytearray(whole.data)
        data[start + 1] ^= 0x71 ^ 0x55
        code, names = exit_of(bytes(data))
        assert code == 2 or "V6" in names, cid
        end = start - (2 if len(block) + 36 >= 128 else 1)


def test_no_dropped_block_passes(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch)
    roots, found = sections(whole.data)
    for at in range(0, len(found), 3):
        code, names = exit_of(packed(roots, found[:at] + found[at + 1 :]))
        assert code == 2 or "V6" in names, found[at][0]


KINDS = ("answer", "calculation", "comparison", "document", "explanation", "goal", "input", "prediction", "question", "quotes",
         "table")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_redacted_copy_is_not_checked_and_never_false(whole: Any, kind: str, tmp_path: Path) -> None:
    source, copy = bundle.load(whole.path), tmp_path / "copy.car"
    for keep in ({kind}, set(KINDS) - {kind}):
        result = redact.redact(source, keep, copy)
        assert set(result.opened) == keep
        assert len(copy.read_bytes()) < len(whole.data)
        checks = check(copy.read_bytes(), LocalChain(whole.chain))
        assert false_ones(checks) == set(), shown(checks)
        assert verify.exit_code(list(checks.values())) == 4
        assert checks["V7"].counted["withheld"] > 0


def test_redacted_copy_keeps_every_id_and_signature(whole: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy.car"
    redact.redact(bundle.load(whole.path), {"answer"}, copy)
    before, after = dict(sections(whole.data)[1]), dict(sections(copy.read_bytes())[1])
    assert sections(copy.read_bytes())[0][0] == whole.head
    assert {cid for cid in after if cid not in before} == {sections(copy.read_bytes())[0][1]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff" * 64,
        b"\x80\x80\x80\x80\x80\x80",
        b"\x02\x81\x01",
        bytes((0x40,)) + b"\x81" * 64,  # deeper than any block
        b"\x9b" + b"\xff" * 8,
    ],
)
def test_hostile_bytes_are_unreadable(data: bytes) -> None:
    with pytest.raises(verify.Unreadable):
        verify.read_run(data)


def test_trailing_and_missing_bytes_are_unreadable(whole: Any) -> None:
    for data in (whole.data + b"\x00", whole.data + b"\x05", whole.data[:-1], whole.data[:100]):
        with pytest.raises(verify.Unreadable):
            verify.read_run(data)


def test_deep_nesting_in_a_block_is_false_not_a_crash(whole: Any) -> None:
    roots, found = sections(whole.data)
    deep = b"\x81" * 5000 + b"\x01"
    checks = check(packed(roots, [*found, (Cid.of(deep, DAG_CBOR), deep)]))
    assert false_ones(checks) == {"V2", "V6"}


VALUES: list[Any] = [
    None,
    True,
    -1,
    2**62,
    b"",
    bytes(32),
    "",
    "x" * 50,
    [],
    [[]],
    {},
    {"digest": b"", "size_class": 1},
]


def mutations(value: Any, numbers: random.Random) -> Any:
    """The value with one place in it replaced by something else."""
    if isinstance(value, dict) and value and numbers.random() < 0.85:
        key = numbers.choice(sorted(value))
        if numbers.random() < 0.15:
            return {name: entry for name, entry in value.items() if name != key}
        return {**value, key: mutations(value[key], numbers)}
    if isinstance(value, list) and value and numbers.random() < 0.85:
        at = numbers.randrange(len(value))
        return [*value[:at], mutations(value[at], numbers), *value[at + 1 :]]
    return numbers.choice(VALUES)


def test_malformed_blocks_are_false_or_unreadable_and_never_crash(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch)
    numbers = random.Random(11)
    roots, found = sections(whole.data)
    for number in range(90):
        at = number % len(found)
        cid, block = found[at]
        changed = dag_cbor.encode(mutations(dag_cbor.decode(block), numbers))
        code, _ = exit_of(packed(roots, [*found[:at], (cid, changed), *found[at + 1 :]]))
        assert code in (1, 2) or changed == block


def test_text_of_strangers_cannot_steer_the_terminal() -> None:
    assert verify.clean("a\x1b[31mred\u202eevil\x07") == "a?[31mred?evil?"


def test_limits_are_kept(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("FILE_LIMIT", 1000), ("BLOCKS_LIMIT", 10), ("SECTION_LIMIT", 300)):
        with monkeypatch.context() as lower:
            lower.setattr(verify, name, limit)
            with pytest.raises(verify.Unreadable) as refused:
                verify.read_run(whole.data)
            assert str(limit) in str(refused.value) or "does not fit" in str(refused.value)


def test_too_much_recomputation_is_left_and_named(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "WORK_LIMIT", 1000)
    checks = check(whole.data)
    assert checks["V14"].status == verify.OPEN
    assert any("too much work" in reason for reason in checks["V14"].open)

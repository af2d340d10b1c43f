"""The edge: who may ask what, malformed bodies, limits, and that no secret ever leaves."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from prsm_protocol.identity import Identity
from prsm_protocol.identity.requests import sign_headers
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.world import ROW, Asker, Operator, Refused, World, trusted_hash, until

UNKNOWN = "0x" + "00" * 32


def test_node_says_who_it_is(world: World, operator: Operator) -> None:
    about = httpx.get(operator.url + "/v1/node").json()
    assert about["operator"] == operator.addresses["operator"]
    assert about["signer"] == world.chain.operators.signer_of(about["operator"])
    assert about["stake_free_wei"] == str(10 * FTNS)
    assert about["chain_id"] == 31337


def test_profile_on_the_chain_leads_to_the_node(world: World, operator: Operator) -> None:
    from prsm_protocol.trace import dag_cbor
    from prsm_protocol.types import DAG_CBOR, Cid

    digest = world.chain.operators.profile_of(str(operator.addresses["operator"]))
    block = httpx.get(f"{operator.url}/ipfs/{Cid(DAG_CBOR, digest)}?format=raw").content
    profile = dag_cbor.decode(block)
    assert isinstance(profile, dict)
    assert (profile["kind"], profile["url"], profile["operator"]) == (
        "profile",
        operator.url,
        operator.addresses["operator"],
    )


@pytest.mark.parametrize("path", ["/v1/earnings", "/v1/status", f"/v1/earnings/{UNKNOWN}"])
@pytest.mark.parametrize("token", ["", "Bearer wrong"])
def test_owner_routes_are_the_owners(operator: Operator, path: str, token: str) -> None:
    answer = httpx.get(operator.url + path, headers={"Authorization": token} if token else {})
    assert (answer.status_code, answer.json()["type"]) == (403, "NotYours")


def test_unsigned_quote_is_refused(operator: Operator, asker: Asker, listing: Listing) -> None:
    answer = httpx.post(operator.url + "/v1/quotes", json={})
    assert (answer.status_code, answer.json()["type"]) == (401, "RequestUnsigned")
    assert answer.headers["content-type"] == "application/problem+json"


def test_replayed_request_is_refused(operator: Operator) -> None:
    body = b"{}"
    headers = sign_headers(Identity.generate(), "POST", "/v1/quotes", body, time.time())
    first = httpx.post(operator.url + "/v1/quotes", content=body, headers=headers)
    second = httpx.post(operator.url + "/v1/quotes", content=body, headers=headers)
    assert (first.status_code, first.json()["type"]) == (422, "BodyInvalid")
    assert (second.status_code, second.json()["type"]) == (401, "RequestReplayed")


@pytest.mark.parametrize("task", [UNKNOWN, "0x00", "nonsense", "0x" + "ZZ" * 32])
def test_unknown_task_is_404(asker: Asker, task: str) -> None:
    with pytest.raises(Refused) as caught:
        asker.task(task)
    assert (caught.value.status, caught.value.problem["type"]) == (404, "TaskUnknown")


def test_quote_for_an_unfunded_job_is_declined_with_a_reason(asker: Asker, listing: Listing) -> None:
    terms = asker.open_job(Wei(1))
    with pytest.raises(Refused) as caught:
        asker.quote(terms, listing, [trusted_hash(ROW)])
    assert (caught.value.status, caught.value.problem["type"]) == (409, "Declined")
    assert caught.value.problem["reason"] == "job not funded"


def test_quote_of_an_unoffered_tier_or_listing_is_declined(asker: Asker, listing: Listing) -> None:
    terms = asker.open_job(Wei(FTNS))
    with pytest.raises(Refused) as caught:
        asker.quote(terms, listing, [trusted_hash(ROW)], tier="proved")
    assert caught.value.problem["reason"] == "tier not offered"
    foreign = Listing(**{**listing.__dict__, "cid": listing.weights})
    with pytest.raises(Refused) as caught:
        asker.quote(terms, foreign, [trusted_hash(ROW)])
    assert (caught.value.status, caught.value.problem["type"]) == (404, "OfferUnknown")


def test_same_question_gets_the_same_quote(asker: Asker, listing: Listing) -> None:
    terms = asker.open_job(Wei(FTNS))
    first = asker.quote(terms, listing, [trusted_hash(ROW)], salts=[7])
    assert asker.quote(terms, listing, [trusted_hash(ROW)], salts=[7]) == first


def test_result_of_a_trusted_task_is_its_askers(world: World, asker: Asker, listing: Listing) -> None:
    terms = asker.open_job(Wei(FTNS))
    quotes = asker.quote(terms, listing, [trusted_hash(ROW)])
    task = str(quotes[0]["task_id"])
    with pytest.raises(Refused) as caught:
        asker.call("GET", f"/v1/tasks/{task}/result")
    assert (caught.value.status, caught.value.problem["type"]) == (409, "TooEarly")
    asker.assign(terms, quotes)
    asker.send_input(task, ROW)
    asker.wait_for(task, "delivered")
    stranger = Asker(world, asker.wallet, asker.url)
    with pytest.raises(Refused) as caught:
        stranger.call("GET", f"/v1/tasks/{task}/result")
    assert (caught.value.status, caught.value.problem["type"]) == (403, "NotYours")
    assert asker.call("GET", f"/v1/tasks/{task}/result")["output_words"]


@pytest.mark.parametrize("size", [(1 << 20) + 1, 4 << 20])
def test_large_body_is_refused(operator: Operator, size: int) -> None:
    answer = httpx.post(f"{operator.url}/v1/inputs/{UNKNOWN}", content=b" " * size)
    assert (answer.status_code, answer.json()["type"]) == (413, "BodyTooLarge")


def test_health_ready_and_metrics_answer(operator: Operator) -> None:
    assert httpx.get(operator.url + "/health").json() == {"status": "ok"}
    ready = until(lambda: (answer := httpx.get(operator.url + "/ready")).status_code == 200 and answer.json())
    assert ready == {"ready": True, "reasons": []}
    page = httpx.get(operator.url + "/metrics").text
    assert "prsm_node_head_lag_blocks" in page
    assert "prsm_node_earned_wei" in page


def test_no_secret_is_in_any_answer_or_log(operator: Operator, asker: Asker, listing: Listing) -> None:
    from oracles import keys

    secret = keys.passphrase(operator.home)
    held = [keys.open_role(operator.home, role, secret).secret.hex() for role in keys.ROLES]
    token = (operator.home / "token").read_text()
    paths = ["/v1/node", "/v1/offers", "/ready", "/metrics", "/openapi.json"]
    owner = {"Authorization": f"Bearer {token}"}
    text = "".join(httpx.get(operator.url + path).text for path in paths)
    text += "".join(httpx.get(operator.url + path, headers=owner).text for path in ("/v1/status", "/v1/earnings"))
    text += operator.log() + (operator.home / "node.toml").read_text()
    for line in operator.log().splitlines():
        json.loads(line)
    for hidden in [*held, token, secret]:
        assert hidden not in text

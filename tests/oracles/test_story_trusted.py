"""A trusted task from the offer to the payment, on a real chain with a real node."""

from __future__ import annotations

import httpx

from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.oracle.instances import from_word
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.world import NETWORK, PRICE, ROW, Asker, Operator, World, trusted_hash, until


def test_trusted_task_is_paid_after_its_window_and_earnings_equal_the_chain(
    world: World, listing: Listing, operator: Operator, asker: Asker
) -> None:
    # 1. The node offers the listing at the owner's price.
    offers = until(lambda: httpx.get(operator.url + "/v1/offers").json()["offers"])
    assert isinstance(offers, list)
    offer = next(entry for entry in offers if entry["listing"] == str(listing.cid))
    assert (offer["tiers"], offer["price_base_wei"]) == (["trusted"], str(PRICE.base))

    # 2. A quote is asked for, assigned and served.
    terms = asker.open_job(Wei(FTNS))
    quotes = asker.quote(terms, listing, [trusted_hash(ROW)])
    task = str(quotes[0]["task_id"])
    assert asker.task(task)["chain"] == "unseen"
    asker.assign(terms, quotes)
    asker.send_input(task, ROW)
    delivered = asker.wait_for(task, "delivered")
    assert delivered["waiting"]["for_what"] == "the end of the result's window"  # type: ignore[index]

    # 3. The output is the integer network's, bit for bit, and the receipt is signed by the node's identity.
    result = asker.call("GET", f"/v1/tasks/{task}/result")
    words = [from_word(int(word)) for word in result["output_words"]]  # type: ignore[attr-defined]
    assert words == integer_layers.run(NETWORK, ROW)
    assert result["receipt"]["by"] == httpx.get(operator.url + "/v1/node").json()["did"]  # type: ignore[index]

    # 4. Silence through the window makes it final; the node releases and is paid.
    world.advance(61)
    asker.wait_for(task, "paid")
    paid = asker.call("GET", f"/v1/tasks/{task}/result")["paid"]
    price = PRICE.base + PRICE.per_row
    assert paid == {
        "net_wei": str(price - price * 200 // 10_000 - price * 500 // 10_000),
        "fee_wei": str(price * 200 // 10_000),
        "royalty_wei": str(price * 500 // 10_000),
    }

    # 5. What the node says it earned is what the chain credited.
    token = (operator.home / "token").read_text()
    earned = httpx.get(operator.url + "/v1/earnings", headers={"Authorization": f"Bearer {token}"}).json()
    one = next(entry for entry in earned["earnings"] if entry["subject"] == task)
    assert one["net_wei"] == paid["net_wei"]  # type: ignore[index]
    assert int(earned["net_wei"]) == world.chain.vault.free_of(str(operator.addresses["operator"]))

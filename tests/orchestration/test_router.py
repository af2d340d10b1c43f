import pytest

from prsm_protocol.orchestration import question
from prsm_protocol.orchestration.health import Health
from prsm_protocol.orchestration.listings import lower_bound_ppm
from prsm_protocol.orchestration.router import Candidate, NoEligibleModel, TierUnavailable, route
from prsm_protocol.types import Wei


def routed(network, *, quality=(), budget=10**20, health=None, rows=8, **options):
    asked = question.Question("Which cultivar is each wine?", **options)
    candidates = [Candidate(listing, dict(quality).get(listing.name, 500_000)) for listing in network.known]
    return route(
        candidates,
        network.offers(),
        asked,
        rows=rows,
        budget_left=Wei(budget),
        seconds_left=1800,
        health=health or Health(),
    )


def test_proved_goes_before_trusted_whatever_the_measured_quality(network_of):
    found = routed(network_of("wine linear", "wine network"), quality={"wine linear": 990_000}, public_data=True)
    assert (found.listing.name, found.tier) == ("wine network", "proved")


def test_cheaper_nodes_come_first_and_ties_by_operator(network_of):
    network = network_of("wine network")
    network.scripted["http://alice"].price *= 2
    assert [served.offer.url for served in routed(network).served] == ["http://bob", "http://alice"]


@pytest.mark.parametrize(("budget", "fits"), [(8 * 10**16 - 1, False), (8 * 10**16, True)])
def test_a_quote_beyond_the_budget_is_not_eligible(budget, fits, network_of):
    network = network_of("wine network")
    if fits:
        assert routed(network, budget=budget).served
    else:
        with pytest.raises(NoEligibleModel, match="quote: 80000000000000000 wei"):
            routed(network, budget=budget)


def test_three_failures_or_one_lie_leave_a_node_out(network_of):
    network, health = network_of("wine network"), Health()
    for _ in range(2):
        health.failed("http://alice")
    assert len(routed(network, health=health).served) == 2
    health.failed("http://alice")
    assert [served.offer.url for served in routed(network, health=health).served] == ["http://bob"]
    health.quarantine("http://bob", "ReceiptInvalid")
    with pytest.raises(NoEligibleModel, match="breaker open: 3 failures; quarantined: ReceiptInvalid"):
        routed(network, health=health)


def test_success_ends_a_row_of_failures():
    health = Health()
    health.failed("a")
    health.failed("a")
    health.served("a")
    health.failed("a")
    assert health.why_out("a") == ""


def test_a_weaker_tier_is_never_taken_silently(network_of):
    network = network_of("wine linear")
    with pytest.raises(TierUnavailable, match="--accept-tier trusted"):
        routed(network, public_data=True, least_tier="proved")


def test_each_listing_left_out_has_its_reason_in_the_choice(network_of):
    choice = routed(network_of("wine linear", "wine network")).choice
    reasons = [why for _, _, why in choice.options]
    assert any(why.startswith("private") for why in reasons)
    assert any(why.startswith("proved, 2 nodes") for why in reasons)


@pytest.mark.parametrize(
    ("right", "total", "expected"), [(0, 0, 100_000), (90, 100, 849_000), (900, 1000, 887_000), (10, 10, 811_000)]
)
def test_quality_is_a_lower_bound_that_grows_with_evidence(right, total, expected):
    assert lower_bound_ppm(right, total) == pytest.approx(expected, abs=3_000)

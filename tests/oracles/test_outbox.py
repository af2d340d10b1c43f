"""What a refusal by name means, and that a lost answer never becomes a second transaction."""

from __future__ import annotations

import pytest

from oracles.outbox import Verdict, classify


@pytest.mark.parametrize(
    ("kind", "name", "values", "verdict"),
    [
        ("deliver", "AttestationHubKnown", {}, Verdict.DONE),
        ("deliver", "EscrowTaskNotOpen", {"status": 0}, Verdict.LATER),  # the assignment is gone in a reorganisation
        ("deliver", "EscrowTaskNotOpen", {"status": 2}, Verdict.DONE),
        ("deliver", "EscrowTaskNotOpen", {"status": 3}, Verdict.DONE),
        ("deliver", "HaltableFlowHalted", {}, Verdict.LATER),
        ("deliver", "VerifierRouterNotEnabled", {}, Verdict.LATER),
        ("deliver", "EscrowDeliveredLate", {}, Verdict.REFUSED),
        ("deliver", "AttestationHubProofRejected", {}, Verdict.REFUSED),
        ("deliver", "VerifierRouterCodeChanged", {}, Verdict.REFUSED),
        ("deliver", "AttestationHubSignatureInvalid", {}, Verdict.REFUSED),
        ("release", "AttestationHubStillOpen", {}, Verdict.LATER),
        ("release", "EscrowTaskNotOpen", {"status": 1}, Verdict.LATER),  # the delivery is gone in a reorganisation
        ("release", "EscrowTaskNotOpen", {"status": 3}, Verdict.DONE),
        ("decline", "EscrowTaskNotOpen", {"status": 4}, Verdict.DONE),
        ("close", "ChannelsAlreadyClosed", {}, Verdict.DONE),
    ],
)
def test_refusal_is_classified_by_its_name(kind: str, name: str, values: dict[str, object], verdict: Verdict) -> None:
    assert classify(kind, name, values) is verdict

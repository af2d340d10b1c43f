"""Ids and arithmetic of Escrow against the contract."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.chain import Chain
from prsm_protocol.rules import eip712
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, job_id, started_share, task_id
from prsm_protocol.types import Wei

bytes32 = st.binary(min_size=32, max_size=32)
address = st.binary(min_size=20, max_size=20).map(eip712.checksum)
ON_CHAIN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


terms_of_jobs = st.builds(JobTerms, address, address, bytes32, uint(32), uint(256))
assignments = st.builds(
    Assignment,
    job_id=bytes32,
    operator=address,
    payee=address,
    records=st.lists(bytes32, max_size=4).map(tuple),
    circuit_id=bytes32,
    input_hash=bytes32,
    spec=bytes32,
    price=uint(96).map(Wei),
    at_risk=uint(96).map(Wei),
    tier=uint(8),
    verdict_class=uint(8),
    deliver_within=uint(32),
    window=uint(32),
    started_bps=uint(16),
    quote_until=uint(40),
    salt=uint(256),
)


@ON_CHAIN
@given(terms=terms_of_jobs)
def test_job_id_is_the_contracts(chain: Chain, terms: JobTerms) -> None:
    assert job_id(chain.chain_id, chain.escrow.address, terms) == chain.escrow.job_id_of(terms)


@ON_CHAIN
@given(assignment=assignments)
def test_task_id_is_the_contracts(chain: Chain, assignment: Assignment) -> None:
    assert task_id(assignment) == chain.escrow.task_id_of(assignment)


def test_job_id_differs_by_chain_and_by_contract(chain: Chain) -> None:
    terms = JobTerms(chain.escrow.address, chain.escrow.address, bytes(32), 1, 1)
    ids = {
        job_id(chain.chain_id, chain.escrow.address, terms),
        job_id(chain.chain_id + 1, chain.escrow.address, terms),
        job_id(chain.chain_id, chain.vault.address, terms),
    }
    assert len(ids) == 3


@pytest.mark.parametrize(("price", "bps", "share"), [(10_000, 1, 1), (9_999, 1, 0), (10, 2_000, 2), (0, 2_000, 0)])
def test_started_share_rounds_down(price: int, bps: int, share: int) -> None:
    assert started_share(price, bps) == share

"""The network as an asker sees it: listings and operators found on the chain, blocks by CID, nodes over HTTP.

Implements `orchestration.listings.Network`. A listing counts only where the account that anchored it owns its record; a
node's address comes from its operator's registered profile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from prsm_protocol.content.listing import ListingInvalid, ListingUnsigned, check_listing, decode_listing
from prsm_protocol.content.retrieve import GatewayAddressRefused, check_url
from prsm_protocol.errors import PrsmError
from prsm_protocol.identity import Identity, verify
from prsm_protocol.orchestration.listings import NodeClient, NodeOffer
from prsm_protocol.orchestration.nodes import HttpNode, parse_offers
from prsm_protocol.rules.registry.lineage import AnchorKind
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, Listing
from prsm_protocol.workflow.home import Home


class ChainNetwork:
    """One home's view of its network."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._listings: dict[Cid, Listing | None] = {}
        self._profiles: dict[bytes, dict[str, object] | None] = {}
        self._nodes: dict[str, HttpNode] = {}

    @property
    def identity(self) -> Identity:
        return self._home.identity

    @property
    def job_known(self) -> bool:
        return True

    def listings(self) -> list[Listing]:
        chain = self._home.chain
        start = chain.deployment.start_block
        events = chain.provenance.events(start, "latest", {"DigestAnchored"})
        found: dict[bytes, Listing] = {}
        for event in events:  # oldest first, so that the newest of a record stays
            if event.fields["kind"] != AnchorKind.LISTING:
                continue
            digest, subject, by = event.fields["digest"], event.fields["subject"], event.fields["by"]
            assert isinstance(digest, bytes)
            assert isinstance(subject, bytes)
            record = chain.provenance.record_of(subject)
            if record is None or record.owner != by:
                continue
            listing = self._listing(Cid(DAG_CBOR, digest))
            if listing is not None and listing.record == subject and listing.owner == by:
                found.pop(subject, None)
                found[subject] = listing
        return list(reversed(found.values()))

    def _listing(self, cid: Cid) -> Listing | None:
        if cid not in self._listings:
            try:
                listing = decode_listing(self._home.retriever.get(cid), cid)
                check_listing(listing, verify)
            except (ListingInvalid, ListingUnsigned):
                self._listings[cid] = None
            except PrsmError:
                return None  # not reachable now; asked again next time
            else:
                self._listings[cid] = listing
        return self._listings[cid]

    def node_urls(self) -> dict[str, str]:
        """Operator → address of its node, as its registered profile says."""
        chain = self._home.chain
        events = chain.operators.events(
            chain.deployment.start_block, "latest", {"OperatorRegistered", "OperatorProfileChanged"}
        )
        profiles = {str(event.fields["operator"]): event.fields["profile"] for event in events}
        urls = {}
        for operator, digest in profiles.items():
            profile = self._profile(digest) if isinstance(digest, bytes) else None
            url = profile.get("url") if profile else None
            if (
                isinstance(url, str)
                and profile is not None
                and profile.get("operator") == operator
                and self._may_call(url)
            ):
                urls[operator] = url
        return urls

    def _profile(self, digest: bytes) -> dict[str, object] | None:
        if digest not in self._profiles:
            try:
                block = dag_cbor.decode(self._home.retriever.get(Cid(DAG_CBOR, digest)))
            except PrsmError:
                return None
            self._profiles[digest] = block if isinstance(block, dict) and block.get("kind") == "profile" else None
        return self._profiles[digest]

    def _may_call(self, url: str) -> bool:
        """A stranger's address must not lead inside; on the local network everybody is inside."""
        try:
            check_url(url, allow_private=self._home.network.name == "local")
        except GatewayAddressRefused:
            return False
        return True

    def offers(self) -> list[NodeOffer]:
        urls = list(self.node_urls().values())
        with ThreadPoolExecutor(max(1, min(8, len(urls)))) as pool:
            return [offer for offers in pool.map(self._offers, urls) for offer in offers]

    def _offers(self, url: str) -> list[NodeOffer]:
        node = self._http(url)
        try:
            return parse_offers(url, node.about(), node.offers())
        except PrsmError:
            return []  # a node that does not answer offers nothing

    def _http(self, url: str) -> HttpNode:
        return self._nodes.setdefault(url, HttpNode(url, self._home.identity))

    def node(self, url: str) -> NodeClient:
        return self._http(url)

    def block(self, cid: Cid) -> bytes:
        return self._home.retriever.get(cid)

    def task_status(self, task_id: bytes) -> str:
        return self._home.chain.escrow.task(task_id).status.name.lower()

    def halted(self, record: bytes) -> bool:
        return self._home.chain.provenance.is_halted(record)

    @cached_property
    def chain_id(self) -> int:
        return self._home.chain.chain_id


def listings(home: Home) -> list[Listing]:
    return ChainNetwork(home).listings()

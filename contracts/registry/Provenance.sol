// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Governed} from "../base/Governed.sol";
import {IProvenance, RecordKinds} from "./IProvenance.sol";
import {Lineage} from "./Lineage.sol";

/// @title Provenance
/// @notice Who owns a model or a data set, what it descends from, and what its users owe; and 32-byte roots with a
/// date.
/// @dev Design:
/// - Parents exist before children, so the graph has no cycles and nothing has to look for one.
/// - Ancestors are flattened once, at registration: a payment costs one slot whatever the lineage.
/// - Terms only get better for users of a record: its royalty falls, its ancestors and their shares never change.
/// Trust assumptions: a registrant names the parents honestly; nobody can prove here that one was left out. The
/// KillSwitch can keep new tasks from a record for a time.
contract Provenance is IProvenance, Governed {
    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Below the least a vote could make most ancestors' demands unmeetable; the greatest is the whole.
    uint16 private constant MIN_ANCESTORS_CAP = 1000;
    uint16 private constant MAX_ANCESTORS_CAP = 10_000;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    address public immutable killSwitch;
    uint40 public immutable commitMin;
    uint40 public immutable commitMax;
    uint16 public immutable royaltyMaxBps;

    uint16 private _ancestorsCap;
    mapping(bytes32 recordId => Record) private _records;
    mapping(bytes32 recordId => bytes32 ancestorsHash) private _ancestorsHashes;
    mapping(address by => mapping(bytes32 commitment => uint40 committedAt)) private _commitments;
    mapping(bytes32 digest => mapping(address by => uint40 anchoredAt)) private _anchors;

    // ── modifiers ────────────────────────────────────────────────────────────────────────────────────────────────────

    modifier onlyOwner(bytes32 recordId) {
        address owner = _records[recordId].owner;
        require(msg.sender == owner, ProvenanceNotOwner(msg.sender, owner));
        _;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(
        address governance_,
        address killSwitch_,
        uint40 commitMin_,
        uint40 commitMax_,
        uint16 royaltyMaxBps_,
        uint16 ancestorsCap_
    ) Governed(governance_) {
        _requireWithin("ancestorsCap", ancestorsCap_, MIN_ANCESTORS_CAP, MAX_ANCESTORS_CAP);
        killSwitch = killSwitch_;
        commitMin = commitMin_;
        commitMax = commitMax_;
        royaltyMaxBps = royaltyMaxBps_;
        _ancestorsCap = ancestorsCap_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IProvenance
    function recordOf(bytes32 recordId) external view returns (Record memory) {
        return _records[recordId];
    }

    /// @inheritdoc IProvenance
    function royaltyOf(bytes32 recordId) external view returns (address owner, uint16 bps) {
        Record storage record = _records[recordId];
        return (record.owner, record.royaltyBps);
    }

    /// @inheritdoc IProvenance
    function isHalted(bytes32 recordId) external view returns (bool) {
        return block.timestamp < _records[recordId].haltedUntil;
    }

    /// @inheritdoc IProvenance
    function ancestorsHashOf(bytes32 recordId) external view returns (bytes32) {
        return _ancestorsHashes[recordId];
    }

    /// @inheritdoc IProvenance
    function anchorOf(bytes32 digest, address by) external view returns (uint40) {
        return _anchors[digest][by];
    }

    /// @inheritdoc IProvenance
    function commitmentOf(bytes32 commitment, address by) external view returns (uint40) {
        return _commitments[by][commitment];
    }

    /// @inheritdoc IProvenance
    function recordIdOf(uint8 kind, bytes32 digest) public pure returns (bytes32) {
        return keccak256(abi.encode(kind, digest));
    }

    /// @inheritdoc IProvenance
    function ancestorsCap() external view returns (uint16) {
        return _ancestorsCap;
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IProvenance
    function commit(bytes32 commitment) external {
        _commitments[msg.sender][commitment] = uint40(block.timestamp);
        emit RecordCommitted(commitment);
    }

    /// @inheritdoc IProvenance
    function register(Registration calldata registration, Parent[] calldata parents, bytes32 salt)
        external
        returns (bytes32 recordId)
    {
        _useCommitment(keccak256(abi.encode(registration, salt, msg.sender)));
        recordId = recordIdOf(registration.kind, registration.digest);
        _requireRegistrable(recordId, registration);
        _requireGiven(parents);
        Share[] memory ancestors = Lineage.flatten(parents);
        _records[recordId] = Record({
            owner: registration.owner,
            royaltyBps: registration.royaltyBps,
            derivativeBps: registration.derivativeBps,
            kind: registration.kind,
            ancestors: uint8(ancestors.length),
            haltedUntil: 0
        });
        if (ancestors.length > 0) {
            _ancestorsHashes[recordId] = Lineage.hash(ancestors);
        }
        emit RecordRegistered(recordId, registration.owner, registration, ancestors);
    }

    /// @inheritdoc IProvenance
    function setOwner(bytes32 recordId, address owner) external onlyOwner(recordId) {
        require(owner != address(0), ProvenanceZeroOwner());
        _records[recordId].owner = owner;
        emit RecordOwnerChanged(recordId, msg.sender, owner);
    }

    /// @inheritdoc IProvenance
    function lowerRoyalty(bytes32 recordId, uint16 bps) external onlyOwner(recordId) {
        uint16 current = _records[recordId].royaltyBps;
        require(bps < current, ProvenanceRoyaltyNotLower(bps, current));
        _records[recordId].royaltyBps = bps;
        emit RecordRoyaltyLowered(recordId, bps);
    }

    /// @inheritdoc IProvenance
    function setModelHalt(bytes32 recordId, uint40 until) external {
        require(msg.sender == killSwitch, ProvenanceNotKillSwitch(msg.sender));
        _records[recordId].haltedUntil = until;
    }

    /// @inheritdoc IProvenance
    function anchor(bytes32 digest, bytes32 subject, uint8 kind, uint64 size) external {
        require(_anchors[digest][msg.sender] == 0, ProvenanceAlreadyAnchored(digest, msg.sender));
        _anchors[digest][msg.sender] = uint40(block.timestamp);
        emit DigestAnchored(digest, subject, msg.sender, kind, size);
    }

    /// @inheritdoc IProvenance
    function setAncestorsCap(uint16 bps) external onlyGovernance {
        _ancestorsCap = uint16(_changed("ancestorsCap", _ancestorsCap, bps, MIN_ANCESTORS_CAP, MAX_ANCESTORS_CAP));
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev The least age keeps who sees a registration in the mempool from committing to it and getting in first; the
    /// greatest keeps nobody waiting with a hidden claim.
    function _useCommitment(bytes32 commitment) private {
        uint40 committedAt = _commitments[msg.sender][commitment];
        require(committedAt != 0, ProvenanceCommitmentUnknown(commitment));
        uint40 age = uint40(block.timestamp) - committedAt;
        require(age >= commitMin, ProvenanceCommitmentTooYoung(age, commitMin));
        require(age <= commitMax, ProvenanceCommitmentExpired(age, commitMax));
        delete _commitments[msg.sender][commitment];
    }

    function _requireRegistrable(bytes32 recordId, Registration calldata registration) private view {
        require(registration.kind < RecordKinds.COUNT, ProvenanceKindUnknown(registration.kind));
        address owner = _records[recordId].owner;
        require(owner == address(0), ProvenanceKnown(recordId, owner));
        require(registration.owner != address(0), ProvenanceZeroOwner());
        require(
            registration.royaltyBps <= royaltyMaxBps, ProvenanceRoyaltyTooHigh(registration.royaltyBps, royaltyMaxBps)
        );
    }

    function _requireGiven(Parent[] calldata parents) private view {
        require(
            parents.length <= Lineage.MAX_ANCESTORS, ProvenanceTooManyParents(parents.length, Lineage.MAX_ANCESTORS)
        );
        uint256 total = 0;
        for (uint256 p = 0; p < parents.length; ++p) {
            Parent calldata parent = parents[p];
            Record storage record = _records[parent.record];
            require(record.owner != address(0), ProvenanceParentUnknown(parent.record));
            require(
                parent.shareBps >= record.derivativeBps,
                ProvenanceShareBelowDemand(parent.record, parent.shareBps, record.derivativeBps)
            );
            require(
                Lineage.hash(parent.lineage) == _ancestorsHashes[parent.record],
                ProvenanceLineageMismatch(parent.record)
            );
            total += parent.shareBps;
        }
        require(total <= _ancestorsCap, ProvenanceSharesAboveCap(total, _ancestorsCap));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title RecordKinds
/// @notice What a record stands for.
library RecordKinds {
    uint8 internal constant MODEL = 0;
    uint8 internal constant DATA = 1;
    uint8 internal constant OTHER = 2;
    uint8 internal constant COUNT = 3;
}

/// @title AnchorKinds
/// @notice What an anchored digest is the root of. Not checked: an anchor is its sender's word, a new kind harms
/// nobody.
library AnchorKinds {
    /// A run's trace; its subject is the jobId.
    uint8 internal constant TRACE = 0;
    /// A listing; its subject is the record. How a listing is found.
    uint8 internal constant LISTING = 1;
    /// An examination or a set of items, fixed before it is used.
    uint8 internal constant COMMITMENT = 2;
    /// Tiles of an audit log.
    uint8 internal constant AUDIT = 3;
    /// A report.
    uint8 internal constant REPORT = 4;
    /// A milestone of the feeless ledger.
    uint8 internal constant TANGLE = 5;
}

/// @title IProvenance
/// @notice Who owns a model or a data set, what it descends from, and what its users owe; and 32-byte roots with a
/// date.
/// @dev A record's id is `keccak256(abi.encode(uint8 kind, bytes32 digest))`, the digest the SHA-256 inside a CID.
interface IProvenance {
    /// @notice What is registered. `derivativeBps` is the share that a direct descendant must give.
    struct Registration {
        uint8 kind;
        bytes32 digest;
        address owner;
        uint16 royaltyBps;
        uint16 derivativeBps;
    }

    /// @notice An ancestor and its part of a record's royalty, in basis points.
    struct Share {
        bytes32 record;
        uint16 bps;
    }

    /// @notice A direct ancestor, what it is given, and its own ancestors as they were registered.
    struct Parent {
        bytes32 record;
        uint16 shareBps;
        Share[] lineage;
    }

    /// @notice A registered record; `ancestors` counts them. An owner of zero means that there is none.
    struct Record {
        address owner;
        uint16 royaltyBps;
        uint16 derivativeBps;
        uint8 kind;
        uint8 ancestors;
        uint40 haltedUntil;
    }

    /// @notice Emitted when somebody announced a registration without showing it.
    event RecordCommitted(bytes32 indexed commitment);

    /// @notice Emitted when a record is registered with its flattened ancestors.
    event RecordRegistered(
        bytes32 indexed recordId, address indexed owner, Registration registration, Share[] ancestors
    );

    /// @notice Emitted when a record changes hands.
    event RecordOwnerChanged(bytes32 indexed recordId, address indexed previous, address indexed owner);

    /// @notice Emitted when a record became cheaper to use.
    event RecordRoyaltyLowered(bytes32 indexed recordId, uint16 bps);

    /// @notice Emitted when `by` put a date on `digest`.
    event DigestAnchored(bytes32 indexed digest, bytes32 indexed subject, address indexed by, uint8 kind, uint64 size);

    /// @notice Thrown when a registration was not announced by this caller with this salt.
    error ProvenanceCommitmentUnknown(bytes32 commitment);

    /// @notice Thrown when a registration follows its announcement too soon.
    error ProvenanceCommitmentTooYoung(uint40 age, uint40 min);

    /// @notice Thrown when a registration follows its announcement too late.
    error ProvenanceCommitmentExpired(uint40 age, uint40 max);

    /// @notice Thrown when the record exists and belongs to `owner`.
    error ProvenanceKnown(bytes32 recordId, address owner);

    /// @notice Thrown when a record would belong to nobody.
    error ProvenanceZeroOwner();

    /// @notice Thrown when the kind is none of those in `RecordKinds`.
    error ProvenanceKindUnknown(uint8 kind);

    /// @notice Thrown when a royalty is above the most that one record may ask.
    error ProvenanceRoyaltyTooHigh(uint16 bps, uint16 max);

    /// @notice Thrown when a record names more direct ancestors than fit.
    error ProvenanceTooManyParents(uint256 count, uint256 max);

    /// @notice Thrown when a parent was never registered.
    error ProvenanceParentUnknown(bytes32 record);

    /// @notice Thrown when a parent is given less than it demands of its descendants.
    error ProvenanceShareBelowDemand(bytes32 parent, uint16 share, uint16 demand);

    /// @notice Thrown when all ancestors together are given more than the cap.
    error ProvenanceSharesAboveCap(uint256 total, uint16 cap);

    /// @notice Thrown when the lineage given for a parent is not the registered one.
    error ProvenanceLineageMismatch(bytes32 parent);

    /// @notice Thrown when `caller` is not the KillSwitch.
    error ProvenanceNotKillSwitch(address caller);

    /// @notice Thrown when `caller` does not own the record.
    error ProvenanceNotOwner(address caller, address owner);

    /// @notice Thrown when a royalty would not fall.
    error ProvenanceRoyaltyNotLower(uint16 bps, uint16 current);

    /// @notice Thrown when `by` anchored `digest` before.
    error ProvenanceAlreadyAnchored(bytes32 digest, address by);

    /// @notice Announces a registration without showing it, so that nobody who sees it in the mempool can claim it
    /// first.
    /// @param commitment `keccak256(abi.encode(registration, salt, caller))`
    function commit(bytes32 commitment) external;

    /// @notice Registers what the caller announced, with its direct ancestors.
    /// @dev Ancestors are flattened to at most eight, see `Lineage`.
    function register(Registration calldata registration, Parent[] calldata parents, bytes32 salt)
        external
        returns (bytes32 recordId);

    /// @notice Gives a record to somebody else, royalties not yet claimed included. Only its owner.
    function setOwner(bytes32 recordId, address owner) external;

    /// @notice Makes a record cheaper to use, for ever. Only its owner.
    function lowerRoyalty(bytes32 recordId, uint16 bps) external;

    /// @notice Keeps new tasks from using a record until then. Only the KillSwitch, which announces it.
    function setModelHalt(bytes32 recordId, uint40 until) external;

    /// @notice Puts a date on a digest, once per sender, so that nobody squats on another's.
    function anchor(bytes32 digest, bytes32 subject, uint8 kind, uint64 size) external;

    /// @notice Sets what all ancestors together may be given in later registrations. Only governance.
    function setAncestorsCap(uint16 bps) external;

    /// @notice The record, zeros when there is none.
    function recordOf(bytes32 recordId) external view returns (Record memory);

    /// @notice Whom a record's royalty belongs to and how much it is; a zero owner when there is no such record.
    function royaltyOf(bytes32 recordId) external view returns (address owner, uint16 bps);

    /// @notice Whether new tasks may not use the record at this moment.
    function isHalted(bytes32 recordId) external view returns (bool);

    /// @notice `keccak256(abi.encode(Share[]))` of a record's ancestors; zero when it has none.
    function ancestorsHashOf(bytes32 recordId) external view returns (bytes32);

    /// @notice When `by` anchored `digest`; zero when it did not.
    function anchorOf(bytes32 digest, address by) external view returns (uint40);

    /// @notice When `commitment` was announced by `by`; zero when it was not, or was used.
    function commitmentOf(bytes32 commitment, address by) external view returns (uint40);

    /// @notice The id of the record of `digest`.
    function recordIdOf(uint8 kind, bytes32 digest) external pure returns (bytes32);

    /// @notice What all ancestors together may be given.
    function ancestorsCap() external view returns (uint16);
}

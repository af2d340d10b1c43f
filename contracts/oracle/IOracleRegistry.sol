// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IOracleRegistry
/// @notice Operators of models: who they are, which key signs for them, and the stake behind what they sign.
/// @dev Trust assumptions:
/// - The hub locks stake behind results and slashes for faults a machine can see; the Arbiter slashes for rulings.
/// - The signer is a hot key: whoever steals it signs results against free stake and can never withdraw anything.
/// - One operator may own many addresses; stake, not the number of addresses, is what a result costs.
interface IOracleRegistry {
    /// @notice Emitted when `operator` registers with `signer` as its hot key. `profile` is a SHA-256 digest.
    event OperatorRegistered(address indexed operator, address indexed signer, bytes32 profile);

    /// @notice Emitted when `operator` puts up `amount` more.
    event OperatorStakeAdded(address indexed operator, uint96 amount);

    /// @notice Emitted when `operator` replaces its hot key.
    event OperatorSignerChanged(address indexed operator, address indexed previous, address indexed signer);

    /// @notice Emitted when `operator` publishes another profile.
    event OperatorProfileChanged(address indexed operator, bytes32 profile);

    /// @notice Emitted when `amount` begins to leave; it can be taken from `readyAt` on the halt-adjusted clock.
    event OperatorExitRequested(address indexed operator, uint96 amount, uint40 readyAt);

    /// @notice Emitted when `amount` has reached the operator's Vault balance.
    event OperatorExitCompleted(address indexed operator, uint96 amount);

    /// @notice Emitted when `amount` is taken: `burnt` to the burn pile, the rest to `beneficiary`.
    event OperatorSlashed(
        address indexed operator, uint96 amount, uint96 burnt, address indexed beneficiary, uint8 cause
    );

    /// @notice Thrown when the caller is an operator already.
    error OracleRegistryAlreadyRegistered(address operator);

    /// @notice Thrown when the account is no operator.
    error OracleRegistryNotRegistered(address operator);

    /// @notice Thrown when the key signs, or once signed, for somebody else.
    error OracleRegistrySignerTaken(address signer);

    /// @notice Thrown when a hot key of zero is given: nobody could sign with it.
    error OracleRegistryZeroSigner();

    /// @notice Thrown when the operator signed two answers to one task and may do nothing but leave.
    error OracleRegistryOperatorBarred(address operator);

    /// @notice Thrown when more is to leave than no result needs.
    error OracleRegistryStakeCovered(uint96 free, uint96 amount);

    /// @notice Thrown when an earlier exit waits until `readyAt`.
    error OracleRegistryExitPending(uint40 readyAt);

    /// @notice Thrown when the exit is not ready before `readyAt` on the halt-adjusted clock.
    error OracleRegistryExitNotReady(uint40 readyAt);

    /// @notice Thrown when nothing leaves, or nothing was asked to.
    error OracleRegistryNothingLeaving(address operator);

    /// @notice Thrown when the caller is not the AttestationHub.
    error OracleRegistryNotHub(address caller);

    /// @notice Thrown when `signer` does not sign for the operator now.
    error OracleRegistrySignerNotCurrent(address signer);

    /// @notice Thrown when less stake is free than a result puts at risk.
    error OracleRegistryCoverTooLow(uint96 free, uint96 amount);

    /// @notice Thrown when the caller is neither the AttestationHub nor the Arbiter.
    error OracleRegistryNotSlasher(address caller);

    /// @notice Makes the caller an operator. A stake of zero is allowed: it backs no staked result.
    /// @dev Warning: a key is bound to its operator for ever, so that what it signed can be held against it.
    function register(address signer, bytes32 profile, uint96 stake) external;

    /// @notice Adds to the caller's stake; its age starts again, since a fresh stake must not judge an old dispute.
    function addStake(uint96 amount) external;

    /// @notice Replaces the caller's hot key.
    function setSigner(address signer) external;

    /// @notice Publishes another profile of the caller.
    function setProfile(bytes32 profile) external;

    /// @notice Takes `amount` of the caller's free stake out of service; it stays slashable until it has left.
    function requestExit(uint96 amount) external;

    /// @notice Credits what has waited long enough to the operator's Vault balance, in every halt state.
    function completeExit(address operator) external;

    /// @notice Locks `amount` of stake behind one result.
    function cover(address operator, address signer, uint96 amount) external;

    /// @notice Frees what `cover` locked.
    function uncover(address operator, uint96 amount) external;

    /// @notice Takes up to `amount`, from the stake first and then from what is leaving. Half, rounded up, is burnt.
    /// @dev `cause` is one of `SlashCauses`; equivocation bars the operator. Warning: takes what is there, never
    /// reverts for lack of it, so that no operator escapes by having too little.
    function slash(address operator, uint96 amount, address beneficiary, uint8 cause) external;

    /// @notice Which operator `signer` signs or ever signed for; zero if none.
    function operatorOf(address signer) external view returns (address);

    /// @notice Which key signs for `operator` now; zero if it is unknown or barred.
    function signerOf(address operator) external view returns (address);

    /// @notice The operator's stake, how much of it is behind results, and what is leaving from when on.
    function coverOf(address operator)
        external
        view
        returns (uint96 stake, uint96 locked, uint96 leaving, uint40 leavingAt);

    /// @notice How many seats in a committee the operator's stake counts for.
    function seatsOf(address operator) external view returns (uint256);

    /// @notice Since when the whole stake has been there.
    function sinceOf(address operator) external view returns (uint40);

    /// @notice Digest of what the operator says about itself.
    function profileOf(address operator) external view returns (bytes32);

    /// @notice Whether the operator may do nothing but leave.
    function isBarred(address operator) external view returns (bool);

    /// @notice Sum of all stakes, without what is leaving.
    function totalStake() external view returns (uint96);
}

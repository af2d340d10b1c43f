// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IArbiter
/// @notice What a client asks of the court: open a dispute, give one up, read the outcome.
interface IArbiter {
    enum Outcome {
        NONE,
        CLAIMANT,
        RESPONDENT,
        UNDECIDED,
        SETTLED
    }

    /// @notice A dispute, keyed by keccak256(abi.encode(terms)).
    struct DisputeTerms {
        address client;
        bytes32 subject;
        address claimant;
        address respondent;
        uint96 bond;
        uint40 openedAt;
        bool settleable;
        bool wallClock;
        bool twoThirds;
    }

    /// @notice Opens a dispute; the bond is taken from the claimant.
    function open(DisputeTerms calldata terms, bytes32 evidence) external returns (bytes32 disputeId);

    /// @notice Ends a dispute for the claimant after a machine has shown the fault.
    function concede(DisputeTerms calldata terms) external;

    /// @notice The outcome, NONE while there is none. `shareBps` is the claimant's share of the price if it was
    /// settled.
    function outcomeOf(bytes32 disputeId) external view returns (Outcome outcome, uint16 shareBps);
}

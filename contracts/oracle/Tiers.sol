// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Tiers
/// @notice What stands behind a result. Zero is the tier that demands most, so a forgotten field never weakens a
/// promise.
library Tiers {
    /// A circuit's verifier accepts the result before anybody is paid.
    uint8 internal constant PROVED = 0;
    /// Stake stands behind the result until its window ends.
    uint8 internal constant STAKED = 1;
    /// Only the operator's signature.
    uint8 internal constant TRUSTED = 2;
    uint8 internal constant COUNT = 3;
}

/// @title VerdictClasses
/// @notice How a judge compares two results.
library VerdictClasses {
    /// Bit by bit, on any machine.
    uint8 internal constant EXACT = 0;
    /// Bit by bit, in the same environment.
    uint8 internal constant PINNED = 1;
    /// By distance; a fault needs two thirds of the votes.
    uint8 internal constant FUZZY = 2;
    uint8 internal constant COUNT = 3;
}

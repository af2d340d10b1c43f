// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title SlashCauses
/// @notice Why stake was taken.
library SlashCauses {
    /// A ruling.
    uint8 internal constant DISPUTE = 0;
    /// A proof of another output for the operator's own input.
    uint8 internal constant CONTRADICTION = 1;
    /// Two signed answers to one task. Bars the operator.
    uint8 internal constant EQUIVOCATION = 2;
}

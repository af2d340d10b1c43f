// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGoverned} from "./IGoverned.sol";

/// @title Governed
/// @notice Parameters that votes may change, each within bounds fixed at deployment.
/// @dev Design: bounds are checked where the value is set, so a hostile vote moves a parameter, never out of its range.
/// Trust assumptions: governance is final; zero means that every parameter is fixed for ever.
abstract contract Governed is IGoverned {
    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IGoverned
    address public immutable governance;

    // ── modifiers ────────────────────────────────────────────────────────────────────────────────────────────────────

    modifier onlyGovernance() {
        require(msg.sender == governance, GovernedNotGovernance(msg.sender));
        _;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(address governance_) {
        governance = governance_;
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev Announces the change of a parameter and returns the checked value, for the caller to store.
    function _changed(bytes32 key, uint256 previous, uint256 value, uint256 min, uint256 max)
        internal
        returns (uint256)
    {
        _requireWithin(key, value, min, max);
        emit ParameterChanged(key, previous, value);
        return value;
    }

    /// @dev The same bounds hold for the value at deployment.
    function _requireWithin(bytes32 key, uint256 value, uint256 min, uint256 max) internal pure {
        require(value >= min, GovernedValueBelowMin(key, value, min));
        require(value <= max, GovernedValueAboveMax(key, value, max));
    }
}

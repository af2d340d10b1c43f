// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IGoverned
/// @notice A contract with parameters that votes may change, each within bounds fixed at deployment.
interface IGoverned {
    /// @notice Emitted when the parameter `key` changes.
    event ParameterChanged(bytes32 indexed key, uint256 previous, uint256 current);

    /// @notice Thrown when `caller` is not the governance.
    error GovernedNotGovernance(address caller);

    /// @notice Thrown when a value is below the least that the parameter `key` may have.
    error GovernedValueBelowMin(bytes32 key, uint256 value, uint256 min);

    /// @notice Thrown when a value is above the most that the parameter `key` may have.
    error GovernedValueAboveMax(bytes32 key, uint256 value, uint256 max);

    /// @notice The account whose calls change parameters; zero means that nobody can.
    function governance() external view returns (address);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IOffices
/// @notice Names with dated terms; who holds one now.
interface IOffices {
    /// @notice Whether `account` holds `office` at this moment.
    function isHolder(bytes32 office, address account) external view returns (bool);
}

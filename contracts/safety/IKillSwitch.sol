// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IHaltable} from "./IHaltable.sol";

/// @title IKillSwitch
/// @notice What a halted contract asks of the contract that halts it.
interface IKillSwitch {
    /// @notice The word that every target carries.
    function halts() external view returns (IHaltable.Halts memory);
}

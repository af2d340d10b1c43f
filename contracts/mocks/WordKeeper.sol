// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Haltable} from "../safety/Haltable.sol";
import {IHaltable} from "../safety/IHaltable.sol";
import {IKillSwitch} from "../safety/IKillSwitch.sol";

/// @title WordKeeper
/// @notice Stands in for the KillSwitch in tests: keeps a word and pushes it to one target.
contract WordKeeper is IKillSwitch {
    IHaltable.Halts private _word;

    function halts() external view returns (IHaltable.Halts memory) {
        return _word;
    }

    function set(IHaltable.Halts calldata word) external {
        _word = word;
    }

    function push(IHaltable target) external returns (bool) {
        return target.setHalts(_word);
    }
}

/// @title HaltableTarget
/// @notice The mixin alone, with one guarded action for every flow.
contract HaltableTarget is Haltable {
    constructor(address killSwitch_) Haltable(killSwitch_) {}

    function act(uint8 flow) external view whenFlowing(flow) returns (bool) {
        return true;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOffices} from "../governance/IOffices.sol";

/// @title SeatedOffices
/// @notice Test-only. Holders as seated by the test.
contract SeatedOffices is IOffices {
    mapping(bytes32 office => mapping(address account => bool)) private _holders;

    function seat(bytes32 office, address account) external {
        _holders[office][account] = true;
    }

    function isHolder(bytes32 office, address account) external view returns (bool) {
        return _holders[office][account];
    }
}

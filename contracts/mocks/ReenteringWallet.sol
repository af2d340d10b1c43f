// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ReenteringWallet
/// @notice Test-only. A contract wallet that says yes to every signature and calls back while it is asked.
contract ReenteringWallet {
    error ReenteringWalletFailed(bytes answer);

    bytes4 private constant VALID = 0x1626ba7e;

    address private _target;
    bytes private _call;

    /// @notice What to call when a signature is checked.
    function arm(address target, bytes calldata call) external {
        _target = target;
        _call = call;
    }

    /// @notice Lets a test act as the wallet.
    function act(address target, bytes calldata call) external returns (bytes memory answer) {
        bool success;
        (success, answer) = target.call(call);
        require(success, ReenteringWalletFailed(answer));
    }

    /// @dev Not marked `view`, so that it may try to change something; the checker calls it statically all the same.
    /// A call back that went through would turn the answer to no, and the test would see it.
    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        if (_target == address(0)) return VALID;
        (bool success,) = _target.call(_call);
        return success ? bytes4(0) : VALID;
    }
}

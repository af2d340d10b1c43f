// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title RegisteredVerifier
/// @notice Test-only. Accepts exactly the lists of words that were registered, whatever the proof's bytes.
contract RegisteredVerifier {
    mapping(bytes32 wordsHash => bool) private _accepted;

    function accept(uint256[] calldata words) external {
        _accepted[keccak256(abi.encode(words))] = true;
    }

    function verifyProof(bytes calldata, uint256[] calldata instances) external view returns (bool) {
        return _accepted[keccak256(abi.encode(instances))];
    }
}

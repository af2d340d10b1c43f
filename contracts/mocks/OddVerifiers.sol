// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Test-only. Reverts on every proof, as generated verifiers do on malformed ones.
contract RevertingVerifier {
    error RevertingVerifierAlways();

    function verifyProof(bytes calldata, uint256[] calldata) external pure returns (bool) {
        revert RevertingVerifierAlways();
    }
}

/// @notice Test-only. Would accept everything, and wants to write while it does.
contract WritingVerifier {
    uint256 public calls;

    function verifyProof(bytes calldata, uint256[] calldata) external returns (bool) {
        ++calls;
        return true;
    }
}

/// @notice Test-only. Answers a word that is no boolean.
contract WordVerifier {
    function verifyProof(bytes calldata, uint256[] calldata) external pure returns (uint256) {
        return 2;
    }
}

/// @notice Test-only. Answers nothing at all.
contract SilentVerifier {
    function verifyProof(bytes calldata, uint256[] calldata) external pure {}
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IProofVerifier
/// @notice What the prover's generated verifier answers.
/// @dev The generated function is not marked `view`. It is declared so here because it is only ever called statically:
/// a verifier that tries to write fails and counts as a refusal.
interface IProofVerifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external view returns (bool);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {IAttestationHub} from "./IAttestationHub.sol";

/// @title Attestations
/// @notice Hashes of signed results, their keys, and what an operator has committed to by one.
library Attestations {
    bytes32 internal constant TYPEHASH = keccak256(
        "Attestation(bytes32 taskId,bytes32 request,bytes32 modelId,bytes32 circuitId,bytes32 inputHash,"
        "bytes32 outputHash,bytes32 result,bytes32 execution,uint8 tier,uint8 verdictClass,address operator,"
        "uint96 atRisk,uint32 window,uint40 signedAt)"
    );
    bytes32 internal constant ROOT_TYPEHASH = keccak256(
        "AttestationRoot(bytes32 root,uint32 count,uint96 atRisk,uint32 window,address operator,uint40 signedAt)"
    );

    /// @notice The EIP-712 struct hash.
    function hash(IAttestationHub.Attestation calldata a) internal pure returns (bytes32) {
        // Every field is one word, so the struct's ABI encoding is EIP-712's encodeData.
        return keccak256(abi.encode(TYPEHASH, a));
    }

    /// @notice The EIP-712 struct hash of a root.
    function hashRoot(bytes32 root, uint32 count, uint96 atRisk, uint32 window, address operator, uint40 signedAt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ROOT_TYPEHASH, root, count, atRisk, window, operator, signedAt));
    }

    /// @notice Key of an operator's result for a task.
    function keyOf(bytes32 taskId, address operator) internal pure returns (bytes32) {
        return keccak256(abi.encode(taskId, operator));
    }

    /// @notice Key of an opened leaf: with its root, so that no root can occupy a task of the Escrow.
    function leafKeyOf(bytes32 rootKey, bytes32 taskId, address operator) internal pure returns (bytes32) {
        return keccak256(abi.encode(rootKey, taskId, operator));
    }

    /// @notice Key of an operator's root.
    function rootKeyOf(bytes32 root, address operator) internal pure returns (bytes32) {
        return keccak256(abi.encode(root, operator));
    }

    /// @notice A word as a leaf: hashed once more, so that no inner node of a tree can pass for one.
    function leaf(bytes32 word) internal pure returns (bytes32) {
        return keccak256(bytes.concat(word));
    }

    /// @notice Whether the operator has committed to this layer: what went in, by which circuit, and what came out.
    /// @dev `paths` as in `IAttestationHub.contradict`.
    function isCommitted(
        IAttestationHub.Attestation calldata a,
        IAttestationHub.Layer calldata layer,
        bytes32[][] calldata paths
    ) internal pure returns (bool) {
        if (layer.circuitId == a.circuitId) {
            return paths.length == 0 && layer.index == 1 && layer.inputHash == a.inputHash
                && layer.outputHash == a.outputHash;
        }
        if (paths.length != 3 || layer.index == 0) return false;
        bool isInputCommitted = layer.index == 1
            ? layer.inputHash == a.inputHash
            : MerkleProof.verifyCalldata(paths[1], a.execution, _layerLeaf(layer.index - 1, layer.inputHash));
        return isInputCommitted
            && MerkleProof.verifyCalldata(paths[0], a.circuitId, _layerLeaf(layer.index, layer.circuitId))
            && MerkleProof.verifyCalldata(paths[2], a.execution, _layerLeaf(layer.index, layer.outputHash));
    }

    function _layerLeaf(uint32 index, bytes32 word) private pure returns (bytes32) {
        return leaf(keccak256(abi.encode(index, word)));
    }
}

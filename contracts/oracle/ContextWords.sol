// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ContextWords
/// @notice The words that bind a proof to one chain, hub, request, circuit and prover.
/// @dev Nothing in a context comes from a block, so a proof survives a reorganisation; change any of the five and the
/// proof is worthless. Limbs have 24 bits because a circuit holds them as fixed-point numbers, exactly.
library ContextWords {
    bytes32 internal constant TYPEHASH =
        keccak256("Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)");

    /// 11 limbs of 24 bits hold 264 bits, the fewest that hold 256.
    uint256 internal constant LIMBS = 11;
    uint256 internal constant LIMB_BITS = 24;
    uint256 internal constant LIMB_MASK = (1 << LIMB_BITS) - 1;

    /// Order of BN254's scalar field. A word at or above it would stand for another word: two inputs, one proof.
    uint256 internal constant FIELD_ORDER =
        21_888_242_871_839_275_222_246_405_745_257_275_088_548_364_400_416_034_343_698_204_186_575_808_495_617;

    /// @notice The context of a proof.
    function context(uint256 chainId, address hub, bytes32 request, bytes32 circuitId, address operator)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TYPEHASH, chainId, hub, request, circuitId, operator));
    }

    /// @notice Limb `index` of a context, least significant first.
    function limb(bytes32 word, uint256 index) internal pure returns (uint256) {
        return (uint256(word) >> (LIMB_BITS * index)) & LIMB_MASK;
    }

    /// @notice Instance words of a public circuit: `inputs ‖ limbs ‖ outputs`.
    function publicInstances(uint256[] calldata inputs, bytes32 word, uint256[] calldata outputs)
        internal
        pure
        returns (uint256[] memory words)
    {
        words = new uint256[](inputs.length + LIMBS + outputs.length);
        uint256 offset = _copy(words, 0, inputs);
        offset = _writeLimbs(words, offset, word);
        _copy(words, offset, outputs);
    }

    /// @notice Instance words of a hashed circuit: `inputHash, h ‖ outputs ‖ limbs`.
    /// @dev `h` is the circuit's own hash of the context. Nothing rests on it: the limbs that the circuit passes
    /// through are written here.
    function hashedInstances(bytes32 inputHash, uint256 h, uint256[] calldata outputs, bytes32 word)
        internal
        pure
        returns (uint256[] memory words)
    {
        words = new uint256[](2 + outputs.length + LIMBS);
        words[0] = uint256(inputHash);
        words[1] = h;
        uint256 offset = _copy(words, 2, outputs);
        _writeLimbs(words, offset, word);
    }

    function _copy(uint256[] memory words, uint256 offset, uint256[] calldata source) private pure returns (uint256) {
        for (uint256 i = 0; i < source.length; ++i) {
            words[offset + i] = source[i];
        }
        return offset + source.length;
    }

    function _writeLimbs(uint256[] memory words, uint256 offset, bytes32 word) private pure returns (uint256) {
        for (uint256 i = 0; i < LIMBS; ++i) {
            words[offset + i] = limb(word, i);
        }
        return offset + LIMBS;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Vm
/// @notice The part of forge's test machine that these tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    // ── clock and chain ──────────────────────────────────────────────────────────────────────────────────────────────

    function warp(uint256 timestamp) external;
    function roll(uint256 number) external;
    function chainId(uint256 id) external;
    function getBlockTimestamp() external view returns (uint256);

    // ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function addr(uint256 key) external pure returns (address);
    function prank(address caller) external;
    function startPrank(address caller) external;
    function stopPrank() external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function getNonce(address account) external view returns (uint64);

    // ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────

    function etch(address target, bytes calldata code) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function load(address target, bytes32 slot) external view returns (bytes32);
    function snapshotState() external returns (uint256);
    function revertToState(uint256 snapshot) external returns (bool);
    function getCode(string calldata artifact) external view returns (bytes memory);
    function getDeployedCode(string calldata artifact) external view returns (bytes memory);

    // ── expectations ─────────────────────────────────────────────────────────────────────────────────────────────────

    function expectRevert(bytes calldata revertData) external;
    function expectEmit(address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function assume(bool condition) external pure;

    // ── gas and storage ──────────────────────────────────────────────────────────────────────────────────────────────

    function record() external;
    function accesses(address target) external returns (bytes32[] memory reads, bytes32[] memory writes);
}

/// @title ForgeTest
/// @notice What every test here starts from: the machine and a few assertions that say what they saw.
abstract contract ForgeTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// The name by which forge knows a test contract.
    bool public constant IS_TEST = true;

    error AssertionFailed(string what);
    error NotEqual(uint256 left, uint256 right);
    error NotEqualAddress(address left, address right);
    error NotEqualBytes32(bytes32 left, bytes32 right);
    error NotAtMost(uint256 left, uint256 right);

    function assertTrue(bool condition) internal pure {
        assertTrue(condition, "expected true");
    }

    function assertTrue(bool condition, string memory what) internal pure {
        require(condition, AssertionFailed(what));
    }

    function assertFalse(bool condition) internal pure {
        assertTrue(!condition, "expected false");
    }

    function assertEq(uint256 left, uint256 right) internal pure {
        require(left == right, NotEqual(left, right));
    }

    function assertEq(address left, address right) internal pure {
        require(left == right, NotEqualAddress(left, right));
    }

    function assertEq(bytes32 left, bytes32 right) internal pure {
        require(left == right, NotEqualBytes32(left, right));
    }

    function assertEq(bool left, bool right) internal pure {
        require(left == right, AssertionFailed(left ? "true is not false" : "false is not true"));
    }

    function assertEq(bytes memory left, bytes memory right) internal pure {
        require(keccak256(left) == keccak256(right), AssertionFailed("bytes differ"));
    }

    function assertLe(uint256 left, uint256 right) internal pure {
        require(left <= right, NotAtMost(left, right));
    }

    function assertGe(uint256 left, uint256 right) internal pure {
        require(left >= right, NotAtMost(right, left));
    }

    /// The next call must revert with exactly these bytes: an error by name and its values.
    function _expect(bytes memory revertData) internal {
        vm.expectRevert(revertData);
    }

    /// 65 bytes, r ‖ s ‖ v.
    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// The digest that is signed for a struct in the domain of one of our contracts.
    function _typedDigest(string memory name, address verifyingContract, bytes32 structHash)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                verifyingContract
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    /// `value` brought into lo…hi, evenly enough for fuzzing.
    function _within(uint256 value, uint256 lo, uint256 hi) internal pure returns (uint256) {
        return lo + value % (hi - lo + 1);
    }
}

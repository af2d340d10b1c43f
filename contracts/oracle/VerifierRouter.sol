// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Governed} from "../base/Governed.sol";
import {IOffices} from "../governance/IOffices.sol";
import {Haltable} from "../safety/Haltable.sol";
import {IVault} from "../token/IVault.sol";
import {ContextWords} from "./ContextWords.sol";
import {IProofVerifier} from "./IProofVerifier.sol";
import {IVerifierRouter} from "./IVerifierRouter.sol";

/// @title VerifierRouter
/// @notice One plain verifier contract a circuit.
/// @dev Design:
/// - A circuit never changes. Another verifier, layout, set-up or manifest is another circuit.
/// - The verifier's code is hashed again at every use, so code that vanished or was replaced verifies nothing.
contract VerifierRouter is IVerifierRouter, Governed, Haltable {
    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    struct Entry {
        address verifier;
        uint16 inputs;
        uint16 outputs;
        bool hashedInput;
        Setup setup;
        uint40 enabledFrom;
        bytes32 codeHash;
        address announcer;
        uint96 bond;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// The office whose holders may remove a circuit.
    bytes32 public constant WARDEN = "WARDEN";

    /// A word costs about 0.9k gas to verify: 1,024 of them stay well within one block.
    uint256 public constant MAX_WORDS = 1024;

    /// The chain ids of anvil and of ape's URL networks, where a single party's set-up is no danger.
    uint256 private constant DEVELOPMENT_CHAIN = 31_337;
    uint256 private constant DEVELOPMENT_CHAIN_BY_URL = 1337;

    /// Stands in `enabledFrom` for "removed": no notice ever ends then.
    uint40 private constant REMOVED = type(uint40).max;

    uint96 private constant MIN_ANNOUNCE_BOND = 10 ether;
    uint96 private constant MAX_ANNOUNCE_BOND = 10_000 ether;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IVault public immutable vault;
    IOffices public immutable offices;
    uint40 public immutable notice;
    uint40 public immutable bondHold;

    uint96 private _announceBond;
    mapping(bytes32 circuitId => Entry) private _entries;

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(
        IVault vault_,
        address governance_,
        IOffices offices_,
        address killSwitch_,
        uint40 notice_,
        uint96 announceBond_,
        uint40 bondHold_
    ) Governed(governance_) Haltable(killSwitch_) {
        vault = vault_;
        offices = offices_;
        notice = notice_;
        bondHold = bondHold_;
        _announceBond = announceBond_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVerifierRouter
    function verify(bytes32 circuitId, bytes calldata proof, uint256[] calldata instances)
        external
        view
        returns (bool)
    {
        Entry storage e = _known(circuitId);
        require(e.enabledFrom != REMOVED, VerifierRouterRemoved(circuitId));
        require(block.timestamp >= e.enabledFrom, VerifierRouterNotEnabled(circuitId, e.enabledFrom));
        address verifier = e.verifier;
        require(verifier.codehash == e.codeHash, VerifierRouterCodeChanged(circuitId));
        uint256 expected = _words(e.inputs, e.outputs, e.hashedInput);
        require(instances.length == expected, VerifierRouterInstanceCount(instances.length, expected));
        // A low-level call, because an answer that does not decode must count as a refusal too.
        (bool success, bytes memory answer) =
            verifier.staticcall(abi.encodeCall(IProofVerifier.verifyProof, (proof, instances)));
        return success && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
    }

    /// @inheritdoc IVerifierRouter
    function circuitOf(bytes32 circuitId) external view returns (Circuit memory) {
        Entry storage e = _known(circuitId);
        return Circuit(e.verifier, e.inputs, e.outputs, e.hashedInput, e.setup);
    }

    /// @inheritdoc IVerifierRouter
    function stateOf(bytes32 circuitId) external view returns (uint40 enabledFrom, bytes32 codeHash, bool isRemoved) {
        Entry storage e = _known(circuitId);
        return (e.enabledFrom, e.codeHash, e.enabledFrom == REMOVED);
    }

    /// @inheritdoc IVerifierRouter
    function isEnabled(bytes32 circuitId) external view returns (bool) {
        Entry storage e = _entries[circuitId];
        return e.verifier != address(0) && e.enabledFrom != REMOVED && block.timestamp >= e.enabledFrom;
    }

    /// @inheritdoc IVerifierRouter
    function bondOf(bytes32 circuitId) external view returns (address announcer, uint96 bond) {
        Entry storage e = _entries[circuitId];
        return (e.announcer, e.bond);
    }

    /// @inheritdoc IVerifierRouter
    function circuitIdOf(Circuit calldata circuit, bytes32 codeHash, bytes32 manifest) public pure returns (bytes32) {
        return
            keccak256(
                abi.encode(manifest, codeHash, circuit.inputs, circuit.outputs, circuit.hashedInput, circuit.setup)
            );
    }

    /// @inheritdoc IVerifierRouter
    function announceBond() external view returns (uint96) {
        return _announceBond;
    }

    // ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IVerifierRouter
    function announce(Circuit calldata circuit, bytes32 manifest)
        external
        whenFlowing(ADMIN)
        returns (bytes32 circuitId)
    {
        require(circuit.verifier.code.length > 0, VerifierRouterNoCode(circuit.verifier));
        uint256 words = _words(circuit.inputs, circuit.outputs, circuit.hashedInput);
        require(words <= MAX_WORDS, VerifierRouterTooManyWords(words, MAX_WORDS));
        bytes32 codeHash = circuit.verifier.codehash;
        circuitId = circuitIdOf(circuit, codeHash, manifest);
        require(
            circuit.setup != Setup.SINGLE || _isDevelopmentChain(),
            VerifierRouterDevelopmentSetup(circuitId, block.chainid)
        );
        Entry storage e = _entries[circuitId];
        require(e.verifier == address(0), VerifierRouterKnown(circuitId));
        uint40 enabledFrom = uint40(block.timestamp) + notice;
        uint96 bond = _announceBond;
        e.verifier = circuit.verifier;
        e.inputs = circuit.inputs;
        e.outputs = circuit.outputs;
        e.hashedInput = circuit.hashedInput;
        e.setup = circuit.setup;
        e.enabledFrom = enabledFrom;
        e.codeHash = codeHash;
        e.announcer = msg.sender;
        e.bond = bond;
        emit CircuitAnnounced(circuitId, circuit.verifier, circuit.setup, enabledFrom, manifest);
        _move(msg.sender, address(this), bond);
    }

    /// @inheritdoc IVerifierRouter
    function remove(bytes32 circuitId, bytes32 reason) external {
        require(_mayRemove(msg.sender), VerifierRouterNotWarden(msg.sender));
        Entry storage e = _known(circuitId);
        require(e.enabledFrom != REMOVED, VerifierRouterRemoved(circuitId));
        uint96 bond = e.bond;
        e.enabledFrom = REMOVED;
        e.announcer = address(0);
        e.bond = 0;
        emit CircuitRemoved(circuitId, reason);
        _move(address(this), killSwitch, bond);
    }

    /// @inheritdoc IVerifierRouter
    function reclaimBond(bytes32 circuitId) external {
        Entry storage e = _known(circuitId);
        require(e.announcer == msg.sender, VerifierRouterNotAnnouncer(msg.sender));
        uint40 until = e.enabledFrom - notice + bondHold;
        require(block.timestamp >= until, VerifierRouterBondHeld(until));
        uint96 bond = e.bond;
        e.announcer = address(0);
        e.bond = 0;
        emit CircuitBondReclaimed(circuitId, bond);
        _move(address(this), msg.sender, bond);
    }

    /// @inheritdoc IVerifierRouter
    function setAnnounceBond(uint96 amount) external onlyGovernance {
        _announceBond = uint96(_changed("announceBond", _announceBond, amount, MIN_ANNOUNCE_BOND, MAX_ANNOUNCE_BOND));
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _known(bytes32 circuitId) private view returns (Entry storage e) {
        e = _entries[circuitId];
        require(e.verifier != address(0), VerifierRouterUnknown(circuitId));
    }

    function _words(uint256 inputs, uint256 outputs, bool hashedInput) private pure returns (uint256) {
        return (hashedInput ? 2 : inputs) + outputs + ContextWords.LIMBS;
    }

    function _isDevelopmentChain() private view returns (bool) {
        return block.chainid == DEVELOPMENT_CHAIN || block.chainid == DEVELOPMENT_CHAIN_BY_URL;
    }

    function _mayRemove(address caller) private view returns (bool) {
        if (governance != address(0) && caller == governance) return true;
        return address(offices) != address(0) && offices.isHolder(WARDEN, caller);
    }

    function _move(address from, address to, uint96 amount) private {
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(to, amount);
        vault.move(from, credits);
    }
}

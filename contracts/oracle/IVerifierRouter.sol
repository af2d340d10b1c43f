// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title IVerifierRouter
/// @notice Which verifier contract a circuit has, on what set-up it rests, and whether it may be used.
/// @dev Trust assumptions:
/// - Whoever made a SINGLE set-up can prove anything with it; such circuits exist on development chains only.
/// - A circuit is usable after a notice in which anybody can rebuild its verifier from the manifest and compare.
/// - Wardens and governance may remove a circuit, never change one.
interface IVerifierRouter {
    /// @notice How the set-up of a circuit was made: by a public ceremony, by several named contributors whose
    /// transcript is checked, or by one party that can forge.
    enum Setup {
        CEREMONY,
        SHARED,
        SINGLE
    }

    /// @notice A circuit. `inputs` and `outputs` count the circuit's own words, without the limbs of the context.
    /// @dev A public circuit has `inputs + 11 + outputs` instance words, a hashed one `2 + outputs + 11` however long
    /// its hidden input is: the hash word of the input and the one of the context come in front.
    struct Circuit {
        address verifier;
        uint16 inputs;
        uint16 outputs;
        bool hashedInput;
        Setup setup;
    }

    /// @notice Emitted when a circuit is announced; `manifest` is the SHA-256 digest of its description.
    event CircuitAnnounced(
        bytes32 indexed circuitId, address indexed verifier, Setup setup, uint40 enabledFrom, bytes32 manifest
    );

    /// @notice Emitted when a circuit is removed for good.
    event CircuitRemoved(bytes32 indexed circuitId, bytes32 reason);

    /// @notice Emitted when the announcer has its bond back.
    event CircuitBondReclaimed(bytes32 indexed circuitId, uint96 amount);

    /// @notice Thrown when the same circuit was announced before.
    error VerifierRouterKnown(bytes32 circuitId);

    /// @notice Thrown when there is no contract at the verifier's address.
    error VerifierRouterNoCode(address verifier);

    /// @notice Thrown when one party made the set-up and the chain is no development chain.
    error VerifierRouterDevelopmentSetup(bytes32 circuitId, uint256 chainId);

    /// @notice Thrown when a proof would need more instance words than a block should carry.
    error VerifierRouterTooManyWords(uint256 words, uint256 max);

    /// @notice Thrown when the caller holds no WARDEN seat and is not governance.
    error VerifierRouterNotWarden(address caller);

    /// @notice Thrown when the bond cannot be taken back before `until`.
    error VerifierRouterBondHeld(uint40 until);

    /// @notice Thrown when the caller did not announce the circuit, or its bond is gone.
    error VerifierRouterNotAnnouncer(address caller);

    /// @notice Thrown when nobody announced this circuit.
    error VerifierRouterUnknown(bytes32 circuitId);

    /// @notice Thrown when the notice of the circuit has not ended.
    error VerifierRouterNotEnabled(bytes32 circuitId, uint40 enabledFrom);

    /// @notice Thrown when the circuit was removed.
    error VerifierRouterRemoved(bytes32 circuitId);

    /// @notice Thrown when the code at the verifier's address is not what was announced.
    error VerifierRouterCodeChanged(bytes32 circuitId);

    /// @notice Thrown when the proof comes with more or fewer words than the circuit has.
    error VerifierRouterInstanceCount(uint256 given, uint256 expected);

    /// @notice Announces a circuit against a bond; it may be used when the notice has ended.
    /// @dev The id is derived from everything that makes the circuit what it is, so nobody can occupy the id of
    /// another.
    function announce(Circuit calldata circuit, bytes32 manifest) external returns (bytes32 circuitId);

    /// @notice Removes a circuit at once and for good; its bond goes to the KillSwitch's fund, or is burnt without one.
    function remove(bytes32 circuitId, bytes32 reason) external;

    /// @notice Gives the announcer its bond back once it has been held long enough.
    function reclaimBond(bytes32 circuitId) external;

    /// @notice Sets what an announcement costs from now on.
    function setAnnounceBond(uint96 amount) external;

    /// @notice Whether the circuit's verifier accepts; false when it reverts or answers anything but true.
    /// @dev Warning: reverts, instead of answering false, for a circuit that may not be used now.
    function verify(bytes32 circuitId, bytes calldata proof, uint256[] calldata instances) external view returns (bool);

    /// @notice The circuit as announced; a removed one stays readable.
    function circuitOf(bytes32 circuitId) external view returns (Circuit memory);

    /// @notice From when on the circuit may be used, the hash of its verifier's code, and whether it was removed.
    function stateOf(bytes32 circuitId) external view returns (uint40 enabledFrom, bytes32 codeHash, bool isRemoved);

    /// @notice Whether the circuit may be used now.
    function isEnabled(bytes32 circuitId) external view returns (bool);

    /// @notice Who announced the circuit and the bond still held for it.
    function bondOf(bytes32 circuitId) external view returns (address announcer, uint96 bond);

    /// @notice keccak256(abi.encode(manifest, codeHash, inputs, outputs, hashedInput, setup)).
    function circuitIdOf(Circuit calldata circuit, bytes32 codeHash, bytes32 manifest) external pure returns (bytes32);

    /// @notice What an announcement costs now.
    function announceBond() external view returns (uint96);
}

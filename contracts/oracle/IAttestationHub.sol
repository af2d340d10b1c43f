// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleRegistry} from "./IOracleRegistry.sol";

/// @title IAttestationHub
/// @notice Results of models in three labelled tiers: proved now, staked for a window, or trusted.
/// @dev EIP-712 domain `PRSM AttestationHub`, version `1`.
/// Trust assumptions:
/// - A proof covers the instance words. The file behind `result` is the operator's signed word until somebody hashes
/// its   words again.
/// - Only the Escrow brings results of tasks, and it builds them from what both sides agreed to.
/// - Binding a proof stops copying it, not proving again: who is paid is decided by the assignment.
interface IAttestationHub {
    /// @notice Where a result stands. FINAL, FAULTED, VOID and SETTLED are ends.
    enum Status {
        NONE,
        PENDING,
        CHALLENGED,
        FINAL,
        FAULTED,
        VOID,
        SETTLED
    }

    /// @notice A signed result. `tier` is one of `Tiers`, `verdictClass` one of `VerdictClasses`.
    /// @dev `Attestation(bytes32 taskId,bytes32 request,bytes32 modelId,bytes32 circuitId,bytes32 inputHash,
    /// bytes32 outputHash,bytes32 result,bytes32 execution,uint8 tier,uint8 verdictClass,address operator,uint96
    /// atRisk, uint32 window,uint40 signedAt)`.
    /// - `request`: keccak256(abi.encode(jobId, salt)) of the task.
    /// - `inputHash`: keccak256 of the input words, or the circuit's own hash word where the circuit hashes its input.
    /// - `outputHash`: keccak256 of the output words without the limbs.
    /// - `result`: SHA-256 digest of the delivered file.
    /// - `execution`: Merkle root of the environment (leaf 0) and the layers' outputs (leaves 1…L), or zero.
    struct Attestation {
        bytes32 taskId;
        bytes32 request;
        bytes32 modelId;
        bytes32 circuitId;
        bytes32 inputHash;
        bytes32 outputHash;
        bytes32 result;
        bytes32 execution;
        uint8 tier;
        uint8 verdictClass;
        address operator;
        uint96 atRisk;
        uint32 window;
        uint40 signedAt;
    }

    /// @notice A proof with the words that the hub does not know by itself.
    /// @dev For a public circuit `inputs` are its input words; for a hashed one the single word `h`, the circuit's own
    /// hash of the context. `outputs` never hold the limbs of the context: the hub writes those.
    struct Proof {
        bytes data;
        uint256[] inputs;
        uint256[] outputs;
    }

    /// @notice One layer of an execution: its circuit, what went in and what the operator says came out.
    struct Layer {
        uint32 index;
        bytes32 circuitId;
        bytes32 inputHash;
        bytes32 outputHash;
    }

    /// @notice Emitted when a result of a task arrives.
    event ResultAttested(bytes32 indexed taskId, address indexed operator, Attestation attestation);

    /// @notice Emitted when `challenger` opens dispute `disputeId` about a result.
    event ResultChallenged(
        bytes32 indexed taskId, address indexed operator, address indexed challenger, bytes32 disputeId
    );

    /// @notice Emitted when a machine shows a fault. `cause` is one of `SlashCauses`.
    event ResultFaulted(bytes32 indexed taskId, address indexed operator, uint8 cause, address indexed reporter);

    /// @notice Emitted when a result has come to its end.
    event ResultConcluded(bytes32 indexed taskId, address indexed operator, Status verdict);

    /// @notice Emitted when `count` small results arrive under one signature; `root` is the root of their Merkle tree.
    event RootAttested(
        bytes32 indexed rootKey, address indexed operator, bytes32 indexed root, uint32 count, uint40 finalAt
    );

    /// @notice Emitted when one result of a root stands by itself.
    event LeafOpened(bytes32 indexed rootKey, bytes32 indexed taskId);

    /// @notice Emitted when the cover of a root is free again.
    event RootConcluded(bytes32 indexed rootKey);

    /// @notice Thrown when the tier is none of `Tiers`, or not STAKED for a leaf of a root.
    error AttestationHubTierUnknown(uint8 tier);

    /// @notice Thrown when the class is none of `VerdictClasses`.
    error AttestationHubClassUnknown(uint8 verdictClass);

    /// @notice Thrown when nobody could show that a staked result is false: no Arbiter and no enabled circuit.
    error AttestationHubNoJudge();

    /// @notice Thrown when the operator has a result for this task already.
    error AttestationHubKnown(bytes32 taskId, address operator);

    /// @notice Thrown when the operator's present key did not sign; `recovered` did.
    error AttestationHubSignatureInvalid(address operator, address recovered);

    /// @notice Thrown when nobody could check a result in so short a window.
    error AttestationHubWindowTooShort(uint32 window, uint32 min);

    /// @notice Thrown when the window would hold stake or a price for too long.
    error AttestationHubWindowTooLong(uint32 window, uint32 max);

    /// @notice Thrown when too little stake stands behind a result.
    error AttestationHubAtRiskTooLow(uint96 atRisk, uint96 min);

    /// @notice Thrown when the circuit's verifier refuses the proof for the words that the hub has built.
    error AttestationHubProofRejected(bytes32 circuitId);

    /// @notice Thrown when an instance word is not below the field's order.
    error AttestationHubWordOutOfField(uint256 index, uint256 word);

    /// @notice Thrown when the number of input words is not the circuit's (for a hashed circuit: one).
    error AttestationHubInputCount(uint256 given, uint256 expected);

    /// @notice Thrown when the number of output words is not the circuit's.
    error AttestationHubOutputCount(uint256 given, uint256 expected);

    /// @notice Thrown when the input words are not those of the result.
    error AttestationHubInputMismatch(bytes32 expected, bytes32 given);

    /// @notice Thrown when the output words are not those of the result.
    error AttestationHubOutputMismatch(bytes32 expected, bytes32 given);

    /// @notice Thrown when the caller is not the Escrow.
    error AttestationHubNotEscrow(address caller);

    /// @notice Thrown when the result is not staked, not pending, or its window has ended.
    error AttestationHubNotChallengeable(Status status, uint40 finalAt);

    /// @notice Thrown when a dispute is wanted where no Arbiter is deployed.
    error AttestationHubArbiterAbsent();

    /// @notice Thrown when what is shown does not contradict the operator's result.
    error AttestationHubNotContradicted();

    /// @notice Thrown when two signed results are not two answers of one operator to one task.
    error AttestationHubNotEquivocation();

    /// @notice Thrown when this fault of this task was shown before.
    error AttestationHubAlreadyFaulted(bytes32 taskId);

    /// @notice Thrown when the result is open until `finalAt` on the halt-adjusted clock, or longer if it is disputed.
    error AttestationHubStillOpen(uint40 finalAt);

    /// @notice Thrown when no such result is known.
    error AttestationHubUnknown(bytes32 taskId, address operator);

    /// @notice Thrown when the leaf does not belong to the operator's root.
    error AttestationHubPathInvalid(bytes32 leaf);

    /// @notice Thrown when there is no such root, or it has ended.
    error AttestationHubRootUnknown(bytes32 rootKey);

    /// @notice Thrown when results of the root are open.
    error AttestationHubLeavesOpen(uint16 count);

    /// @notice Takes in the result of a task, signed by the operator's present key.
    /// @dev Only the Escrow, so that nobody occupies a task with a result that does not fit. PROVED is final at once;
    /// STAKED covers `atRisk` of the stake until the window ends; TRUSTED waits for its window.
    function attest(Attestation calldata a, bytes calldata signature, Proof calldata proof) external;

    /// @notice Takes in many small staked results under one signature and one cover; by anyone with the signature.
    /// @dev `AttestationRoot(bytes32 root,uint32 count,uint96 atRisk,uint32 window,address operator,uint40 signedAt)`.
    /// Leaves are keccak256 of the attestations' struct hashes, pairs are sorted; rootKey is
    /// keccak256(abi.encode(root, operator)).
    function attestRoot(
        bytes32 root,
        uint32 count,
        uint96 atRisk,
        uint32 window,
        address operator,
        uint40 signedAt,
        bytes calldata signature
    ) external;

    /// @notice Makes one result of a root an ordinary pending one, with the root's end, so that it can be shown false.
    /// @dev A fault of it costs its own `atRisk`, at most what is left of the root's cover.
    function openLeaf(bytes32 rootKey, Attestation calldata a, bytes32[] calldata path) external;

    /// @notice Frees what is left of a root's cover when its window has ended and no result of it is open.
    function concludeRoot(bytes32 rootKey) external;

    /// @notice Opens a dispute about a staked result within its window; the caller puts up the bond.
    function challenge(Attestation calldata a, bytes32 evidence) external;

    /// @notice The same for one of the parties, who may settle. Only the Escrow.
    function challengeFor(address challenger, Attestation calldata a, bytes32 evidence) external;

    /// @notice Shows by proof that an EXACT staked result is false: other outputs for the operator's own input.
    /// @dev The proof's context names the caller in the operator's place, so a copied proof is worthless. Half of
    /// `atRisk` goes to the caller. A result of one circuit is layer 1 and needs no paths; otherwise `paths` are the
    /// Merkle paths of the layer's circuit in `circuitId`, of its input in `execution` (empty for layer 1) and of its
    /// output in `execution`. Leaves are keccak256(keccak256(abi.encode(index, word))), pairs are sorted.
    function contradict(
        Attestation calldata a,
        Layer calldata layer,
        uint256[] calldata inputs,
        uint256[] calldata outputs,
        bytes32[][] calldata paths,
        bytes calldata proof
    ) external;

    /// @notice Shows two signed answers of one operator to one task. Bars the operator and slashes it, half to the
    /// caller.
    /// @dev Any key that ever signed for the operator counts. An open result of the task must be one of the two and is
    /// faulted.
    function proveEquivocation(
        Attestation calldata a,
        bytes calldata signatureA,
        Attestation calldata b,
        bytes calldata signatureB
    ) external;

    /// @notice Brings a result to its end once time or a ruling allows; asked again, it gives the same answer.
    /// @return verdict FINAL, FAULTED, VOID or SETTLED
    /// @return shareBps the operator's share of the price: all, nothing, or as settled; for VOID the Escrow's terms
    /// decide
    function conclude(Attestation calldata a) external returns (Status verdict, uint16 shareBps);

    /// @notice Where the operator's result for a task stands and when its window ends on the halt-adjusted clock.
    function statusOf(bytes32 taskId, address operator)
        external
        view
        returns (Status status, uint8 tier, uint40 finalAt);

    /// @notice Where an opened result of a root stands.
    function leafStatusOf(bytes32 rootKey, bytes32 taskId, address operator) external view returns (Status);

    /// @notice A root: whose, what is left of its cover, its end, how many results of it are open, whether it has
    /// ended.
    function rootOf(bytes32 rootKey)
        external
        view
        returns (address operator, uint96 coverLeft, uint40 finalAt, uint16 openLeaves, bool isConcluded);

    /// @notice keccak256(abi.encode(typehash, chainId, this, request, circuitId, operator)) with the typehash of
    /// `Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)`.
    function contextOf(bytes32 request, bytes32 circuitId, address operator) external view returns (bytes32);

    /// @notice The eleven words of 24 bits that a context becomes inside a circuit, least significant first.
    function limbsOf(bytes32 context) external pure returns (uint256[11] memory);

    /// @notice Reverts unless somebody could judge a staked result of this class and circuit.
    function requireJudge(uint8 verdictClass, bytes32 circuitId) external view;

    /// @notice Shortest and longest window, and the least that a staked result puts at risk.
    function limits() external view returns (uint32 windowMin, uint32 windowMax, uint96 atRiskFloor);

    /// @notice Where operators and their stakes are kept.
    function registry() external view returns (IOracleRegistry);

    /// @notice Who rules on disputes; zero where there is none.
    function arbiter() external view returns (address);
}

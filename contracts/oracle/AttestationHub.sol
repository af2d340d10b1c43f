// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {IArbiter} from "../market/IArbiter.sol";
import {Haltable} from "../safety/Haltable.sol";
import {Attestations} from "./Attestations.sol";
import {ContextWords} from "./ContextWords.sol";
import {IAttestationHub} from "./IAttestationHub.sol";
import {IOracleRegistry} from "./IOracleRegistry.sol";
import {IVerifierRouter} from "./IVerifierRouter.sol";
import {SlashCauses} from "./SlashCauses.sol";
import {Tiers, VerdictClasses} from "./Tiers.sol";

/// @title AttestationHub
/// @notice Takes results in, proves them, holds them open for their window and brings them to an end.
/// @dev Design:
/// - The hub writes every instance word that it can know, so a proof says nothing about another task, chain or prover.
/// - A result is one slot: 200 bits of its hash, its end and its status. Whoever acts on it brings it along.
/// - Its own state comes first; stake is taken through the registry, which never refuses for lack of it.
contract AttestationHub is IAttestationHub, EIP712, Haltable {
    using Attestations for Attestation;
    using ContextWords for bytes32;

    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// 200 bits of digest leave room for the rest of the slot; a collision costs 2^100.
    struct Entry {
        bytes25 digest;
        uint40 finalAt;
        Status status;
        uint8 tier;
    }

    /// What is needed to name the dispute again.
    struct Dispute {
        address claimant;
        uint40 openedAt;
        bool settleable;
    }

    /// One signature over many small results, and what of its stake no fault has taken.
    struct Root {
        address operator;
        uint40 finalAt;
        uint16 openLeaves;
        bool isConcluded;
        uint96 coverLeft;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    uint16 private constant WHOLE = 10_000;

    /// A tenth of what the operator has is taken for two answers, however little stood behind the task.
    uint96 private constant EQUIVOCATION_DIVISOR = 10;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    address public immutable escrow;
    IOracleRegistry public immutable registry;
    IVerifierRouter public immutable router;
    address public immutable arbiter;
    uint32 public immutable windowMin;
    uint32 public immutable windowMax;
    uint96 public immutable atRiskFloor;
    uint16 public immutable challengeBps;

    mapping(bytes32 key => Entry) private _entries;
    mapping(bytes32 key => Dispute) private _disputes;
    mapping(bytes32 key => bool) private _equivocated;
    mapping(bytes32 rootKey => Root) private _roots;
    mapping(bytes32 structHash => bytes32 rootKey) private _rootOfLeaf;

    // ── modifiers ────────────────────────────────────────────────────────────────────────────────────────────────────

    modifier onlyEscrow() {
        require(msg.sender == escrow, AttestationHubNotEscrow(msg.sender));
        _;
    }

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(
        address escrow_,
        IOracleRegistry registry_,
        IVerifierRouter router_,
        address arbiter_,
        address killSwitch_,
        uint32 windowMin_,
        uint32 windowMax_,
        uint96 atRiskFloor_,
        uint16 challengeBps_
    ) EIP712("PRSM AttestationHub", "1") Haltable(killSwitch_) {
        escrow = escrow_;
        registry = registry_;
        router = router_;
        arbiter = arbiter_;
        windowMin = windowMin_;
        windowMax = windowMax_;
        atRiskFloor = atRiskFloor_;
        challengeBps = challengeBps_;
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IAttestationHub
    function statusOf(bytes32 taskId, address operator)
        external
        view
        returns (Status status, uint8 tier, uint40 finalAt)
    {
        Entry storage e = _entries[Attestations.keyOf(taskId, operator)];
        return (e.status, e.tier, e.finalAt);
    }

    /// @inheritdoc IAttestationHub
    function leafStatusOf(bytes32 rootKey, bytes32 taskId, address operator) external view returns (Status) {
        return _entries[Attestations.leafKeyOf(rootKey, taskId, operator)].status;
    }

    /// @inheritdoc IAttestationHub
    function rootOf(bytes32 rootKey)
        external
        view
        returns (address operator, uint96 coverLeft, uint40 finalAt, uint16 openLeaves, bool isConcluded)
    {
        Root storage r = _roots[rootKey];
        return (r.operator, r.coverLeft, r.finalAt, r.openLeaves, r.isConcluded);
    }

    /// @inheritdoc IAttestationHub
    function contextOf(bytes32 request, bytes32 circuitId, address operator) public view returns (bytes32) {
        return ContextWords.context(block.chainid, address(this), request, circuitId, operator);
    }

    /// @inheritdoc IAttestationHub
    function limbsOf(bytes32 context) external pure returns (uint256[11] memory limbs) {
        for (uint256 i = 0; i < limbs.length; ++i) {
            limbs[i] = context.limb(i);
        }
    }

    /// @inheritdoc IAttestationHub
    function requireJudge(uint8 verdictClass, bytes32 circuitId) public view {
        bool isContradictable = verdictClass == VerdictClasses.EXACT && router.isEnabled(circuitId);
        require(arbiter != address(0) || isContradictable, AttestationHubNoJudge());
    }

    /// @inheritdoc IAttestationHub
    function limits() external view returns (uint32, uint32, uint96) {
        return (windowMin, windowMax, atRiskFloor);
    }

    // ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IAttestationHub
    function attest(Attestation calldata a, bytes calldata signature, Proof calldata proof) external onlyEscrow {
        require(a.tier < Tiers.COUNT, AttestationHubTierUnknown(a.tier));
        require(a.verdictClass < VerdictClasses.COUNT, AttestationHubClassUnknown(a.verdictClass));
        Entry storage e = _entries[Attestations.keyOf(a.taskId, a.operator)];
        require(e.status == Status.NONE, AttestationHubKnown(a.taskId, a.operator));
        bytes32 structHash = a.hash();
        // The same words cannot stand twice: it would be unclear which of the two an end belongs to.
        require(_rootOfLeaf[structHash] == 0, AttestationHubKnown(a.taskId, a.operator));
        address signer = _requireSigned(a.operator, structHash, signature);
        uint40 finalAt = activeTime();
        Status status = Status.FINAL;
        if (a.tier == Tiers.PROVED) {
            _requireProved(a, proof);
        } else {
            _requireWindow(a.window);
            if (a.tier == Tiers.STAKED) {
                require(a.atRisk >= atRiskFloor, AttestationHubAtRiskTooLow(a.atRisk, atRiskFloor));
                requireJudge(a.verdictClass, a.circuitId);
            }
            finalAt += a.window;
            status = Status.PENDING;
        }
        e.digest = bytes25(structHash);
        e.finalAt = finalAt;
        e.status = status;
        e.tier = a.tier;
        emit ResultAttested(a.taskId, a.operator, a);
        if (status == Status.FINAL) {
            emit ResultConcluded(a.taskId, a.operator, Status.FINAL);
        }
        if (a.tier == Tiers.STAKED) {
            registry.cover(a.operator, signer, a.atRisk);
        }
    }

    /// @inheritdoc IAttestationHub
    function conclude(Attestation calldata a) external returns (Status verdict, uint16 shareBps) {
        (bytes32 key, Entry storage e) = _known(a);
        verdict = e.status;
        if (verdict == Status.PENDING) {
            require(activeTime() >= e.finalAt, AttestationHubStillOpen(e.finalAt));
            verdict = Status.FINAL;
            _end(e, a, verdict);
        } else if (verdict == Status.CHALLENGED) {
            (verdict, shareBps) = _ruling(key, a);
            require(verdict != Status.CHALLENGED, AttestationHubStillOpen(e.finalAt));
            _end(e, a, verdict);
            if (verdict == Status.FAULTED) {
                _slash(a, _disputes[key].claimant, SlashCauses.DISPUTE);
            }
        } else if (verdict == Status.SETTLED) {
            (, shareBps) = _ruling(key, a);
        }
        if (verdict == Status.FINAL) {
            shareBps = WHOLE;
        }
    }

    // ── many small results ───────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IAttestationHub
    function attestRoot(
        bytes32 root,
        uint32 count,
        uint96 atRisk,
        uint32 window,
        address operator,
        uint40 signedAt,
        bytes calldata signature
    ) external {
        bytes32 rootKey = Attestations.rootKeyOf(root, operator);
        Root storage r = _roots[rootKey];
        require(r.operator == address(0), AttestationHubKnown(root, operator));
        _requireWindow(window);
        require(atRisk >= atRiskFloor, AttestationHubAtRiskTooLow(atRisk, atRiskFloor));
        bytes32 structHash = Attestations.hashRoot(root, count, atRisk, window, operator, signedAt);
        address signer = _requireSigned(operator, structHash, signature);
        r.operator = operator;
        r.finalAt = activeTime() + window;
        r.coverLeft = atRisk;
        emit RootAttested(rootKey, operator, root, count, r.finalAt);
        registry.cover(operator, signer, atRisk);
    }

    /// @inheritdoc IAttestationHub
    function openLeaf(bytes32 rootKey, Attestation calldata a, bytes32[] calldata path) external {
        Root storage r = _roots[rootKey];
        require(r.operator != address(0), AttestationHubRootUnknown(rootKey));
        require(a.tier == Tiers.STAKED, AttestationHubTierUnknown(a.tier));
        require(a.verdictClass < VerdictClasses.COUNT, AttestationHubClassUnknown(a.verdictClass));
        require(activeTime() < r.finalAt, AttestationHubNotChallengeable(Status.PENDING, r.finalAt));
        bytes32 structHash = a.hash();
        bytes32 leaf = Attestations.leaf(structHash);
        bytes32 root = MerkleProof.processProofCalldata(path, leaf);
        require(Attestations.rootKeyOf(root, a.operator) == rootKey, AttestationHubPathInvalid(leaf));
        bool isDelivered = _entries[Attestations.keyOf(a.taskId, a.operator)].digest == bytes25(structHash);
        bytes32 key = Attestations.leafKeyOf(rootKey, a.taskId, a.operator);
        bool isKnown = isDelivered || _rootOfLeaf[structHash] != 0 || _entries[key].status != Status.NONE;
        require(!isKnown, AttestationHubKnown(a.taskId, a.operator));
        requireJudge(a.verdictClass, a.circuitId);
        _rootOfLeaf[structHash] = rootKey;
        _entries[key] = Entry(bytes25(structHash), r.finalAt, Status.PENDING, Tiers.STAKED);
        r.openLeaves += 1;
        emit LeafOpened(rootKey, a.taskId);
    }

    /// @inheritdoc IAttestationHub
    function concludeRoot(bytes32 rootKey) external {
        Root storage r = _roots[rootKey];
        require(r.operator != address(0) && !r.isConcluded, AttestationHubRootUnknown(rootKey));
        require(activeTime() >= r.finalAt, AttestationHubStillOpen(r.finalAt));
        require(r.openLeaves == 0, AttestationHubLeavesOpen(r.openLeaves));
        uint96 amount = r.coverLeft;
        r.coverLeft = 0;
        r.isConcluded = true;
        emit RootConcluded(rootKey);
        registry.uncover(r.operator, amount);
    }

    // ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IAttestationHub
    function challenge(Attestation calldata a, bytes32 evidence) external {
        _challenge(msg.sender, a, evidence, false);
    }

    /// @inheritdoc IAttestationHub
    function challengeFor(address challenger, Attestation calldata a, bytes32 evidence) external onlyEscrow {
        _challenge(challenger, a, evidence, true);
    }

    /// @inheritdoc IAttestationHub
    function contradict(
        Attestation calldata a,
        Layer calldata layer,
        uint256[] calldata inputs,
        uint256[] calldata outputs,
        bytes32[][] calldata paths,
        bytes calldata proof
    ) external {
        _requireContradictable(a);
        bool isOther = a.verdictClass == VerdictClasses.EXACT && _hashOf(outputs) != layer.outputHash;
        require(isOther && a.isCommitted(layer, paths), AttestationHubNotContradicted());
        bytes32 context = contextOf(a.request, layer.circuitId, msg.sender);
        uint256[] memory words = _instances(layer.circuitId, layer.inputHash, context, inputs, outputs);
        _requireAccepted(layer.circuitId, proof, words);
        _fault(a, SlashCauses.CONTRADICTION);
        _slash(a, msg.sender, SlashCauses.CONTRADICTION);
    }

    /// @inheritdoc IAttestationHub
    function proveEquivocation(
        Attestation calldata a,
        bytes calldata signatureA,
        Attestation calldata b,
        bytes calldata signatureB
    ) external {
        bool isOneTask = a.taskId == b.taskId && a.operator == b.operator;
        bool isTwoAnswers = a.outputHash != b.outputHash || a.result != b.result;
        bytes32 hashA = a.hash();
        require(
            isOneTask && isTwoAnswers && _everSigned(a.operator, hashA, signatureA)
                && _everSigned(a.operator, b.hash(), signatureB),
            AttestationHubNotEquivocation()
        );
        bytes32 key = Attestations.keyOf(a.taskId, a.operator);
        require(!_equivocated[key], AttestationHubAlreadyFaulted(a.taskId));
        _equivocated[key] = true;
        uint96 amount = _equivocationCost(a, b);
        Entry storage e = _entries[key];
        if (e.status == Status.PENDING || e.status == Status.CHALLENGED) {
            // One of the two must be the open result (it is public, and differs from one of any pair): else an operator
            // could spend this fault on two other answers and have the open one paid.
            Attestation calldata open = e.digest == bytes25(hashA) ? a : b;
            require(e.digest == bytes25(open.hash()), AttestationHubNotEquivocation());
            _fault(open, SlashCauses.EQUIVOCATION);
        } else {
            emit ResultFaulted(a.taskId, a.operator, SlashCauses.EQUIVOCATION, msg.sender);
        }
        registry.slash(a.operator, amount, msg.sender, SlashCauses.EQUIVOCATION);
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _hashOf(uint256[] calldata words) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(words));
    }

    /// Plain keys only: a contract could deny tomorrow what it signed today.
    function _recover(bytes32 structHash, bytes calldata signature) private view returns (address signer) {
        (signer,,) = ECDSA.tryRecover(_hashTypedDataV4(structHash), signature);
    }

    function _everSigned(address operator, bytes32 structHash, bytes calldata signature) private view returns (bool) {
        address signer = _recover(structHash, signature);
        return signer != address(0) && registry.operatorOf(signer) == operator;
    }

    /// The most that either answer put at risk, and at least a tenth of what the operator has. What is leaving counts,
    /// or asking for an exit first would make a double answer free.
    function _equivocationCost(Attestation calldata a, Attestation calldata b) private view returns (uint96 amount) {
        (uint96 stake,, uint96 leaving,) = registry.coverOf(a.operator);
        amount = (stake + leaving + EQUIVOCATION_DIVISOR - 1) / EQUIVOCATION_DIVISOR;
        if (a.atRisk > amount) amount = a.atRisk;
        if (b.atRisk > amount) amount = b.atRisk;
    }

    function _requireSigned(address operator, bytes32 structHash, bytes calldata signature)
        private
        view
        returns (address signer)
    {
        signer = _recover(structHash, signature);
        require(
            signer != address(0) && signer == registry.signerOf(operator),
            AttestationHubSignatureInvalid(operator, signer)
        );
    }

    function _known(Attestation calldata a) private view returns (bytes32 key, Entry storage e) {
        bytes32 structHash = a.hash();
        bytes32 rootKey = _rootOfLeaf[structHash];
        key = rootKey == 0
            ? Attestations.keyOf(a.taskId, a.operator)
            : Attestations.leafKeyOf(rootKey, a.taskId, a.operator);
        e = _entries[key];
        bool isKnown = e.status != Status.NONE && e.digest == bytes25(structHash);
        require(isKnown, AttestationHubUnknown(a.taskId, a.operator));
    }

    function _requireContradictable(Attestation calldata a) private view {
        (, Entry storage e) = _known(a);
        Status status = e.status;
        require(status != Status.FAULTED, AttestationHubAlreadyFaulted(a.taskId));
        bool isOpen = status == Status.PENDING || status == Status.CHALLENGED;
        require(e.tier == Tiers.STAKED && isOpen, AttestationHubNotChallengeable(status, e.finalAt));
    }

    function _requireWindow(uint32 window) private view {
        require(window >= windowMin, AttestationHubWindowTooShort(window, windowMin));
        require(window <= windowMax, AttestationHubWindowTooLong(window, windowMax));
    }

    function _requireProved(Attestation calldata a, Proof calldata proof) private view {
        bytes32 outputHash = _hashOf(proof.outputs);
        require(outputHash == a.outputHash, AttestationHubOutputMismatch(a.outputHash, outputHash));
        bytes32 context = contextOf(a.request, a.circuitId, a.operator);
        uint256[] memory words = _instances(a.circuitId, a.inputHash, context, proof.inputs, proof.outputs);
        _requireAccepted(a.circuitId, proof.data, words);
    }

    function _requireAccepted(bytes32 circuitId, bytes calldata proof, uint256[] memory words) private view {
        for (uint256 i = 0; i < words.length; ++i) {
            require(words[i] < ContextWords.FIELD_ORDER, AttestationHubWordOutOfField(i, words[i]));
        }
        require(router.verify(circuitId, proof, words), AttestationHubProofRejected(circuitId));
    }

    function _instances(
        bytes32 circuitId,
        bytes32 inputHash,
        bytes32 context,
        uint256[] calldata inputs,
        uint256[] calldata outputs
    ) private view returns (uint256[] memory) {
        IVerifierRouter.Circuit memory circuit = router.circuitOf(circuitId);
        // Each count by itself: with only their sum fixed, a word could slip from one side of the limbs to the other.
        uint256 expected = circuit.hashedInput ? 1 : circuit.inputs;
        require(inputs.length == expected, AttestationHubInputCount(inputs.length, expected));
        require(outputs.length == circuit.outputs, AttestationHubOutputCount(outputs.length, circuit.outputs));
        if (circuit.hashedInput) {
            return ContextWords.hashedInstances(inputHash, inputs[0], outputs, context);
        }
        bytes32 given = _hashOf(inputs);
        require(given == inputHash, AttestationHubInputMismatch(inputHash, given));
        return ContextWords.publicInstances(inputs, context, outputs);
    }

    function _challenge(address claimant, Attestation calldata a, bytes32 evidence, bool settleable) private {
        require(arbiter != address(0), AttestationHubArbiterAbsent());
        (bytes32 key, Entry storage e) = _known(a);
        bool isInWindow = e.tier == Tiers.STAKED && e.status == Status.PENDING && activeTime() < e.finalAt;
        require(isInWindow, AttestationHubNotChallengeable(e.status, e.finalAt));
        e.status = Status.CHALLENGED;
        _disputes[key] = Dispute(claimant, uint40(block.timestamp), settleable);
        IArbiter.DisputeTerms memory terms = _termsOf(key, a);
        emit ResultChallenged(a.taskId, a.operator, claimant, keccak256(abi.encode(terms)));
        IArbiter(arbiter).open(terms, evidence);
    }

    function _termsOf(bytes32 key, Attestation calldata a) private view returns (IArbiter.DisputeTerms memory) {
        Dispute storage d = _disputes[key];
        return IArbiter.DisputeTerms({
            client: address(this),
            subject: key,
            claimant: d.claimant,
            respondent: a.operator,
            bond: uint96((uint256(a.atRisk) * challengeBps) / WHOLE),
            openedAt: d.openedAt,
            settleable: d.settleable,
            wallClock: false,
            twoThirds: a.verdictClass == VerdictClasses.FUZZY
        });
    }

    /// The Arbiter's outcome as a verdict and the operator's share; CHALLENGED while there is none.
    function _ruling(bytes32 key, Attestation calldata a) private view returns (Status, uint16) {
        bytes32 id = keccak256(abi.encode(_termsOf(key, a)));
        (IArbiter.Outcome outcome, uint16 claimantBps) = IArbiter(arbiter).outcomeOf(id);
        if (outcome == IArbiter.Outcome.CLAIMANT) return (Status.FAULTED, 0);
        if (outcome == IArbiter.Outcome.RESPONDENT) return (Status.FINAL, WHOLE);
        if (outcome == IArbiter.Outcome.UNDECIDED) return (Status.VOID, 0);
        if (outcome == IArbiter.Outcome.SETTLED) return (Status.SETTLED, WHOLE - claimantBps);
        return (Status.CHALLENGED, 0);
    }

    function _end(Entry storage e, Attestation calldata a, Status verdict) private {
        e.status = verdict;
        emit ResultConcluded(a.taskId, a.operator, verdict);
        if (e.tier == Tiers.STAKED) {
            _uncover(a);
        }
    }

    /// A fault that a machine has shown: ends the result, frees its cover for the slash, and gives up an open dispute.
    function _fault(Attestation calldata a, uint8 cause) private {
        (bytes32 key, Entry storage e) = _known(a);
        bool isDisputed = e.status == Status.CHALLENGED;
        emit ResultFaulted(a.taskId, a.operator, cause, msg.sender);
        _end(e, a, Status.FAULTED);
        if (isDisputed) {
            IArbiter(arbiter).concede(_termsOf(key, a));
        }
    }

    /// Frees what stands behind one result. A leaf has nothing of its own: its root's cover stays until the root ends.
    function _uncover(Attestation calldata a) private {
        bytes32 rootKey = _rootOfLeaf[a.hash()];
        if (rootKey == 0) {
            registry.uncover(a.operator, a.atRisk);
        } else {
            _roots[rootKey].openLeaves -= 1;
        }
    }

    /// Takes what the result put at risk, for a leaf at most what is left of its root's cover.
    function _slash(Attestation calldata a, address beneficiary, uint8 cause) private {
        uint96 amount = a.atRisk;
        bytes32 rootKey = _rootOfLeaf[a.hash()];
        if (rootKey != 0) {
            Root storage r = _roots[rootKey];
            if (amount > r.coverLeft) amount = r.coverLeft;
            r.coverLeft -= amount;
            registry.uncover(a.operator, amount);
        }
        registry.slash(a.operator, amount, beneficiary, cause);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IAttestationHub} from "../oracle/IAttestationHub.sol";
import {IOracleRegistry} from "../oracle/IOracleRegistry.sol";
import {Tiers, VerdictClasses} from "../oracle/Tiers.sol";
import {IProvenance} from "../registry/IProvenance.sol";
import {IRoyalties} from "../registry/IRoyalties.sol";
import {Haltable} from "../safety/Haltable.sol";
import {IVault} from "../token/IVault.sol";
import {Assignments} from "./Assignments.sol";
import {IEscrow} from "./IEscrow.sol";

/// @title Escrow
/// @notice Holds the budget of a question and pays its tasks.
/// @dev Design:
/// - A task's status is terminal and set before anybody is paid, so nothing is paid twice, whatever races.
/// - Prices are reserved when assigned, so a promise to an operator is always funded.
/// - Every deadline runs on the halt-adjusted clock; refunds and closing work in every halt.
/// - Royalties are checked when a task is assigned, so that paying cannot fail later.
contract Escrow is IEscrow, EIP712, Haltable {
    using Assignments for Assignment;

    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    struct Job {
        uint96 free;
        uint96 reserved;
        uint40 openUntil;
        uint16 openTasks;
        JobStatus status;
    }

    struct Task {
        uint96 price;
        uint40 deliverBy;
        TaskStatus status;
        uint8 tier;
        uint16 startedBps;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    uint16 private constant WHOLE = 10_000;

    // ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────

    IVault public immutable vault;
    IOracleRegistry public immutable registry;
    IAttestationHub public immutable hub;
    IProvenance public immutable provenance;
    IRoyalties public immutable royalties;
    address public immutable market;
    uint32 public immutable openMax;
    uint32 public immutable deliveryMin;
    uint32 public immutable deliveryMax;
    uint16 public immutable startedMaxBps;
    uint96 public immutable longWindowFrom;
    uint32 public immutable longWindow;

    // Copied from the hub, whose bounds never change, to spare a call per assignment.
    uint32 private immutable _windowMin;
    uint32 private immutable _windowMax;
    uint96 private immutable _atRiskFloor;

    mapping(bytes32 jobId => Job) private _jobs;
    mapping(bytes32 taskId => Task) private _tasks;

    // ── constructor ──────────────────────────────────────────────────────────────────────────────────────────────────

    constructor(
        IVault vault_,
        IAttestationHub hub_,
        IProvenance provenance_,
        IRoyalties royalties_,
        address market_,
        address killSwitch_,
        uint32 openMax_,
        uint32 deliveryMin_,
        uint32 deliveryMax_,
        uint16 startedMaxBps_,
        uint96 longWindowFrom_,
        uint32 longWindow_
    ) EIP712("PRSM Escrow", "1") Haltable(killSwitch_) {
        vault = vault_;
        hub = hub_;
        // The hub's own registry: an operator known to one of them only could never be paid.
        registry = hub_.registry();
        provenance = provenance_;
        royalties = royalties_;
        market = market_;
        openMax = openMax_;
        deliveryMin = deliveryMin_;
        deliveryMax = deliveryMax_;
        startedMaxBps = startedMaxBps_;
        longWindowFrom = longWindowFrom_;
        longWindow = longWindow_;
        (_windowMin, _windowMax, _atRiskFloor) = hub_.limits();
    }

    // ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IEscrow
    function jobOf(bytes32 jobId)
        external
        view
        returns (uint96 free, uint96 reserved, uint40 openUntil, uint16 openTasks, JobStatus status)
    {
        Job storage job = _jobs[jobId];
        return (job.free, job.reserved, job.openUntil, job.openTasks, job.status);
    }

    /// @inheritdoc IEscrow
    function taskOf(bytes32 taskId)
        external
        view
        returns (uint96 price, uint40 deliverBy, TaskStatus status, uint8 tier, uint16 startedBps)
    {
        Task storage task = _tasks[taskId];
        return (task.price, task.deliverBy, task.status, task.tier, task.startedBps);
    }

    /// @inheritdoc IEscrow
    function jobIdOf(JobTerms calldata terms) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), terms));
    }

    /// @inheritdoc IEscrow
    function taskIdOf(Assignment calldata a) external pure returns (bytes32) {
        return a.hash();
    }

    // ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IEscrow
    function open(JobTerms calldata terms, uint96 budget) external whenFlowing(INTAKE) returns (bytes32 jobId) {
        require(msg.sender == terms.buyer, EscrowNotBuyer(msg.sender));
        require(budget > 0, EscrowZeroAmount());
        require(terms.openFor <= openMax, EscrowOpenTooLong(terms.openFor, openMax));
        jobId = jobIdOf(terms);
        Job storage job = _jobs[jobId];
        require(job.status == JobStatus.NONE, EscrowJobKnown(jobId));
        job.free = budget;
        job.openUntil = activeTime() + terms.openFor;
        job.status = JobStatus.OPEN;
        emit EscrowOpened(jobId, terms.buyer, terms.steward, budget, terms);
        _move(msg.sender, address(this), budget);
    }

    /// @inheritdoc IEscrow
    function topUp(JobTerms calldata terms, uint96 amount) external whenFlowing(INTAKE) {
        require(amount > 0, EscrowZeroAmount());
        (bytes32 jobId, Job storage job) = _openJob(terms);
        job.free += amount;
        emit EscrowToppedUp(jobId, msg.sender, amount);
        _move(msg.sender, address(this), amount);
    }

    /// @inheritdoc IEscrow
    function close(JobTerms calldata terms) external {
        (bytes32 jobId, Job storage job) = _openJob(terms);
        bool mayClose = _isBuyerSide(terms, msg.sender) || activeTime() >= job.openUntil;
        require(mayClose, EscrowNotExpired(job.openUntil));
        require(job.openTasks == 0, EscrowTasksOpen(job.openTasks));
        uint96 free = job.free;
        job.free = 0;
        job.status = JobStatus.CLOSED;
        emit EscrowClosed(jobId, free);
        if (free > 0) {
            _move(address(this), terms.buyer, free);
        }
    }

    // ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @inheritdoc IEscrow
    function assign(JobTerms calldata terms, Assignment[] calldata assignments, bytes[] calldata signatures)
        external
        whenFlowing(INTAKE)
    {
        _requireBuyerSide(terms, msg.sender);
        (bytes32 jobId, Job storage job) = _openJob(terms);
        uint256 count = assignments.length;
        require(signatures.length == count, EscrowSignatureCount(signatures.length, count));
        for (uint256 i = 0; i < count; ++i) {
            bytes32 taskId = assignments[i].hash();
            address operator = assignments[i].operator;
            // Without a key of its own, barred or never registered, it could not deliver.
            require(registry.signerOf(operator) != address(0), EscrowSignatureInvalid(operator));
            _requireOperatorSigned(operator, taskId, signatures[i]);
            _assign(jobId, job, taskId, assignments[i]);
        }
    }

    /// @inheritdoc IEscrow
    function assignFor(address by, JobTerms calldata terms, Assignment calldata a) external whenFlowing(INTAKE) {
        require(msg.sender == market, EscrowNotMarket(msg.sender));
        _requireBuyerSide(terms, by);
        (bytes32 jobId, Job storage job) = _openJob(terms);
        _assign(jobId, job, a.hash(), a);
    }

    /// @inheritdoc IEscrow
    function deliver(
        JobTerms calldata terms,
        Assignment calldata a,
        Result calldata result,
        bytes calldata signature,
        IAttestationHub.Proof calldata proof
    ) external {
        (bytes32 taskId, Job storage job, Task storage task) = _taskIn(terms, a, TaskStatus.ASSIGNED);
        uint40 activeNow = activeTime();
        require(activeNow <= task.deliverBy, EscrowDeliveredLate(activeNow, task.deliverBy));
        bool isPaidNow = task.tier == Tiers.PROVED && !isFlowHalted(PAYOUT);
        task.status = TaskStatus.DELIVERED;
        emit TaskDelivered(taskId);
        hub.attest(a.attestation(taskId, result), signature, proof);
        if (isPaidNow) {
            _settle(job, task, taskId, a, task.price, TaskStatus.PAID);
        }
    }

    /// @inheritdoc IEscrow
    function release(JobTerms calldata terms, Assignment calldata a, Result calldata result) external {
        (bytes32 taskId, Job storage job, Task storage task) = _taskIn(terms, a, TaskStatus.DELIVERED);
        (IAttestationHub.Status verdict, uint16 shareBps) = hub.conclude(a.attestation(taskId, result));
        if (verdict == IAttestationHub.Status.FINAL) {
            _settle(job, task, taskId, a, task.price, TaskStatus.PAID);
        } else if (verdict == IAttestationHub.Status.FAULTED) {
            _settle(job, task, taskId, a, 0, TaskStatus.REFUNDED);
        } else if (verdict == IAttestationHub.Status.VOID) {
            _settle(job, task, taskId, a, _part(task.price, task.startedBps), TaskStatus.SPLIT);
        } else {
            _settle(job, task, taskId, a, _part(task.price, shareBps), TaskStatus.SPLIT);
        }
    }

    /// @inheritdoc IEscrow
    function refund(JobTerms calldata terms, Assignment calldata a) external {
        (bytes32 taskId, Job storage job, Task storage task) = _taskIn(terms, a, TaskStatus.ASSIGNED);
        uint40 activeNow = activeTime();
        require(activeNow > task.deliverBy, EscrowNotLate(activeNow, task.deliverBy));
        _settle(job, task, taskId, a, 0, TaskStatus.REFUNDED);
    }

    /// @inheritdoc IEscrow
    function decline(JobTerms calldata terms, Assignment calldata a, uint8 code, bytes calldata signature) external {
        (bytes32 taskId, Job storage job, Task storage task) = _taskIn(terms, a, TaskStatus.ASSIGNED);
        _requireOperatorSigned(a.operator, Assignments.hashDecline(taskId, code), signature);
        emit TaskDeclined(taskId, code);
        _settle(job, task, taskId, a, 0, TaskStatus.REFUNDED);
    }

    /// @inheritdoc IEscrow
    function reject(JobTerms calldata terms, Assignment calldata a, bytes32 reason) external {
        _requireBuyerSide(terms, msg.sender);
        (bytes32 taskId, Job storage job, Task storage task) = _taskIn(terms, a, TaskStatus.DELIVERED);
        (,, uint40 finalAt) = hub.statusOf(taskId, a.operator);
        bool isRejectable = task.tier == Tiers.TRUSTED && activeTime() < finalAt;
        require(isRejectable, EscrowNotRejectable(task.tier, finalAt));
        emit TaskRejected(taskId, reason);
        _settle(job, task, taskId, a, _part(task.price, task.startedBps), TaskStatus.SPLIT);
    }

    /// @inheritdoc IEscrow
    function challenge(JobTerms calldata terms, Assignment calldata a, Result calldata result, bytes32 evidence)
        external
    {
        _requireBuyerSide(terms, msg.sender);
        require(hub.arbiter() != address(0), EscrowArbiterAbsent());
        (bytes32 taskId,,) = _taskIn(terms, a, TaskStatus.DELIVERED);
        hub.challengeFor(msg.sender, a.attestation(taskId, result), evidence);
    }

    /// @inheritdoc IEscrow
    function agree(
        JobTerms calldata terms,
        Assignment calldata a,
        uint96 toPayee,
        uint40 validUntil,
        bytes calldata buyerSignature,
        bytes calldata operatorSignature
    ) external {
        bytes32 taskId = a.hash();
        bytes32 agreement = Assignments.hashAgreement(taskId, toPayee, validUntil);
        require(block.timestamp <= validUntil, EscrowAgreementExpired(validUntil));
        Task storage task = _tasks[taskId];
        bool isOpen = task.status == TaskStatus.ASSIGNED || task.status == TaskStatus.DELIVERED;
        require(isOpen, EscrowTaskNotOpen(taskId, task.status));
        require(toPayee <= task.price, EscrowShareAbovePrice(toPayee, task.price));
        _requireBuyerSigned(terms, agreement, buyerSignature);
        _requireOperatorSigned(a.operator, agreement, operatorSignature);
        emit TaskAgreed(taskId, toPayee);
        _settle(_jobs[_matching(terms, a)], task, taskId, a, toPayee, TaskStatus.SPLIT);
    }

    // ── internal: checks ─────────────────────────────────────────────────────────────────────────────────────────────

    function _isBuyerSide(JobTerms calldata terms, address account) private pure returns (bool) {
        return account == terms.buyer || account == terms.steward;
    }

    function _requireBuyerSide(JobTerms calldata terms, address account) private pure {
        require(_isBuyerSide(terms, account), EscrowNotSteward(account));
    }

    function _openJob(JobTerms calldata terms) private view returns (bytes32 jobId, Job storage job) {
        jobId = jobIdOf(terms);
        job = _jobs[jobId];
        require(job.status == JobStatus.OPEN, EscrowJobNotOpen(jobId, job.status));
    }

    function _matching(JobTerms calldata terms, Assignment calldata a) private view returns (bytes32 jobId) {
        jobId = jobIdOf(terms);
        require(a.jobId == jobId, EscrowWrongJob(a.jobId));
    }

    function _taskIn(JobTerms calldata terms, Assignment calldata a, TaskStatus expected)
        private
        view
        returns (bytes32 taskId, Job storage job, Task storage task)
    {
        job = _jobs[_matching(terms, a)];
        taskId = a.hash();
        task = _tasks[taskId];
        require(task.status == expected, EscrowTaskNotOpen(taskId, task.status));
    }

    /// The operator itself, possibly a contract wallet, or its present key. A barred operator has no key left, yet may
    /// still decline and agree.
    function _requireOperatorSigned(address operator, bytes32 structHash, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(structHash);
        address signer = registry.signerOf(operator);
        bool isSigned = (signer != address(0) && SignatureChecker.isValidSignatureNow(signer, digest, signature))
            || SignatureChecker.isValidSignatureNow(operator, digest, signature);
        require(isSigned, EscrowSignatureInvalid(operator));
    }

    function _requireBuyerSigned(JobTerms calldata terms, bytes32 structHash, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(structHash);
        bool isSigned = SignatureChecker.isValidSignatureNow(terms.buyer, digest, signature)
            || (terms.steward != address(0) && SignatureChecker.isValidSignatureNow(terms.steward, digest, signature));
        require(isSigned, EscrowSignatureInvalid(terms.buyer));
    }

    function _requireFair(Assignment calldata a) private view {
        require(a.tier < Tiers.COUNT, EscrowTierUnknown(a.tier));
        require(a.verdictClass < VerdictClasses.COUNT, EscrowClassUnknown(a.verdictClass));
        require(a.startedBps <= startedMaxBps, EscrowStartedShareTooHigh(a.startedBps, startedMaxBps));
        require(a.deliverWithin >= deliveryMin, EscrowDeliveryTooShort(a.deliverWithin, deliveryMin));
        require(a.deliverWithin <= deliveryMax, EscrowDeliveryTooLong(a.deliverWithin, deliveryMax));
        require(a.payee != address(0) && !vault.isModule(a.payee), EscrowPayeeInvalid(a.payee));
        if (a.tier == Tiers.PROVED) return;
        uint32 min = a.price >= longWindowFrom && longWindow > _windowMin ? longWindow : _windowMin;
        require(a.window >= min, EscrowWindowTooShort(a.window, min));
        require(a.window <= _windowMax, EscrowWindowTooLong(a.window, _windowMax));
        if (a.tier == Tiers.TRUSTED) return;
        uint96 least = a.price > _atRiskFloor ? a.price : _atRiskFloor;
        require(a.atRisk >= least, EscrowAtRiskTooLow(a.atRisk, least));
        hub.requireJudge(a.verdictClass, a.circuitId);
    }

    function _requireUsable(bytes32[] calldata records) private view {
        for (uint256 i = 0; i < records.length; ++i) {
            IProvenance.Record memory record = provenance.recordOf(records[i]);
            require(record.owner != address(0), EscrowRecordUnknown(records[i]));
            require(block.timestamp >= record.haltedUntil, EscrowModelHalted(records[i], record.haltedUntil));
        }
        royalties.requirePayable(records);
    }

    // ── internal: money ──────────────────────────────────────────────────────────────────────────────────────────────

    function _assign(bytes32 jobId, Job storage job, bytes32 taskId, Assignment calldata a) private {
        require(a.jobId == jobId, EscrowWrongJob(a.jobId));
        uint40 activeNow = activeTime();
        require(activeNow < job.openUntil, EscrowJobExpired(job.openUntil));
        require(block.timestamp <= a.quoteUntil, EscrowQuoteExpired(a.quoteUntil));
        Task storage task = _tasks[taskId];
        require(task.status == TaskStatus.NONE, EscrowTaskKnown(taskId));
        require(a.price <= job.free, EscrowBudgetTooLow(job.free, a.price));
        _requireFair(a);
        _requireUsable(a.records);
        job.free -= a.price;
        job.reserved += a.price;
        job.openTasks += 1;
        task.price = a.price;
        task.deliverBy = activeNow + a.deliverWithin;
        task.status = TaskStatus.ASSIGNED;
        task.tier = a.tier;
        task.startedBps = a.startedBps;
        emit TaskAssigned(jobId, taskId, a.operator, a);
    }

    function _part(uint96 price, uint16 bps) private pure returns (uint96) {
        return uint96((uint256(price) * bps) / WHOLE);
    }

    /// Ends a task: `toPayee` of its price goes to the payee's side, the rest back to the job.
    function _settle(
        Job storage job,
        Task storage task,
        bytes32 taskId,
        Assignment calldata a,
        uint96 toPayee,
        TaskStatus end
    ) private {
        uint96 price = task.price;
        task.status = end;
        job.reserved -= price;
        job.free += price - toPayee;
        job.openTasks -= 1;
        if (toPayee < price) {
            emit TaskRefunded(taskId, price - toPayee);
        }
        if (toPayee > 0 || end == TaskStatus.PAID) {
            _pay(taskId, a, toPayee);
        }
    }

    function _pay(bytes32 taskId, Assignment calldata a, uint96 amount) private whenFlowing(PAYOUT) {
        (uint96 fee, uint96 royalty) = royalties.accrue(a.records, amount);
        uint96 net = amount - fee - royalty;
        emit TaskPaid(taskId, a.payee, net, fee, royalty);
        IVault.Credit[] memory credits = new IVault.Credit[](3);
        credits[0] = IVault.Credit(a.payee, net);
        credits[1] = IVault.Credit(address(royalties), royalty);
        credits[2] = IVault.Credit(address(0), fee);
        vault.move(address(this), credits);
    }

    function _move(address from, address to, uint96 amount) private {
        IVault.Credit[] memory credits = new IVault.Credit[](1);
        credits[0] = IVault.Credit(to, amount);
        vault.move(from, credits);
    }
}

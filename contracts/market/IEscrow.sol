// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAttestationHub} from "../oracle/IAttestationHub.sol";

/// @title IEscrow
/// @notice A budget for one question, and the tasks paid out of it.
/// @dev EIP-712 domain `PRSM Escrow`, version `1`.
/// Trust assumptions:
/// - The steward is a hot key of the buyer's: it can spend the budget on tasks and never take it; what is left returns
/// to   the buyer.
/// - Nobody needs the other side to get out: every task ends by time alone.
/// Terms and assignments are passed again in every call; their hashes are the keys, so wrong ones are unknown ones.
interface IEscrow {
    enum JobStatus {
        NONE,
        OPEN,
        CLOSED
    }

    /// @notice PAID, REFUNDED and SPLIT are ends.
    enum TaskStatus {
        NONE,
        ASSIGNED,
        DELIVERED,
        PAID,
        REFUNDED,
        SPLIT
    }

    /// @notice jobId = keccak256(abi.encode(chainId, escrow, terms)).
    /// - `question`: digest of what is asked. `openFor`: seconds, on the halt-adjusted clock.
    struct JobTerms {
        address buyer;
        address steward;
        bytes32 question;
        uint32 openFor;
        uint256 salt;
    }

    /// @notice What an operator promises for a price; taskId is the EIP-712 struct hash.
    /// @dev `Assignment(bytes32 jobId,address operator,address payee,bytes32[] records,bytes32 circuitId,
    /// bytes32 inputHash,bytes32 spec,uint96 price,uint96 atRisk,uint8 tier,uint8 verdictClass,uint32 deliverWithin,
    /// uint32 window,uint16 startedBps,uint40 quoteUntil,uint256 salt)`.
    /// - `records`: the model first, then data; each is owed its royalty.
    /// - `startedBps`: what the operator keeps when a result is rejected or found void.
    struct Assignment {
        bytes32 jobId;
        address operator;
        address payee;
        bytes32[] records;
        bytes32 circuitId;
        bytes32 inputHash;
        bytes32 spec;
        uint96 price;
        uint96 atRisk;
        uint8 tier;
        uint8 verdictClass;
        uint32 deliverWithin;
        uint32 window;
        uint16 startedBps;
        uint40 quoteUntil;
        uint256 salt;
    }

    /// @notice The part of an attestation that the assignment does not fix.
    struct Result {
        bytes32 outputHash;
        bytes32 result;
        bytes32 execution;
        uint40 signedAt;
    }

    /// @notice Emitted when a job is opened with a budget.
    event EscrowOpened(
        bytes32 indexed jobId, address indexed buyer, address indexed steward, uint96 budget, JobTerms terms
    );

    /// @notice Emitted when `from` adds to the budget.
    event EscrowToppedUp(bytes32 indexed jobId, address indexed from, uint96 amount);

    /// @notice Emitted when a task is assigned and its price reserved.
    event TaskAssigned(bytes32 indexed jobId, bytes32 indexed taskId, address indexed operator, Assignment assignment);

    /// @notice Emitted when the result of a task has arrived.
    event TaskDelivered(bytes32 indexed taskId);

    /// @notice Emitted when a task is paid, wholly or in part.
    event TaskPaid(bytes32 indexed taskId, address indexed payee, uint96 net, uint96 fee, uint96 royalty);

    /// @notice Emitted when `amount` of a task's price returns to the job.
    event TaskRefunded(bytes32 indexed taskId, uint96 amount);

    /// @notice Emitted when the operator says that it cannot serve.
    event TaskDeclined(bytes32 indexed taskId, uint8 code);

    /// @notice Emitted when the buyer's side rejects a trusted result.
    event TaskRejected(bytes32 indexed taskId, bytes32 reason);

    /// @notice Emitted when both sides agree on what is paid.
    event TaskAgreed(bytes32 indexed taskId, uint96 toPayee);

    /// @notice Emitted when a job ends and what is left is the buyer's again.
    event EscrowClosed(bytes32 indexed jobId, uint96 refunded);

    /// @notice Thrown when the caller is not the buyer of the terms.
    error EscrowNotBuyer(address caller);

    /// @notice Thrown when these terms were opened before.
    error EscrowJobKnown(bytes32 jobId);

    /// @notice Thrown when nothing would be locked.
    error EscrowZeroAmount();

    /// @notice Thrown when the job would stay open for too long.
    error EscrowOpenTooLong(uint32 openFor, uint32 max);

    /// @notice Thrown when the job was never opened, or is closed.
    error EscrowJobNotOpen(bytes32 jobId, JobStatus status);

    /// @notice Thrown when the caller is neither buyer nor steward.
    error EscrowNotSteward(address caller);

    /// @notice Thrown when the caller is not the Market.
    error EscrowNotMarket(address caller);

    /// @notice Thrown when the time for assigning ended at `openUntil` on the halt-adjusted clock.
    error EscrowJobExpired(uint40 openUntil);

    /// @notice Thrown when the assignment belongs to another job.
    error EscrowWrongJob(bytes32 jobId);

    /// @notice Thrown when there is not one signature for each assignment.
    error EscrowSignatureCount(uint256 given, uint256 expected);

    /// @notice Thrown when the operator's quote is no longer valid.
    error EscrowQuoteExpired(uint40 quoteUntil);

    /// @notice Thrown when the price is more than is free in the job.
    error EscrowBudgetTooLow(uint96 free, uint96 price);

    /// @notice Thrown when the same assignment was made before.
    error EscrowTaskKnown(bytes32 taskId);

    /// @notice Thrown when neither the account nor a key that signs for it has signed.
    error EscrowSignatureInvalid(address account);

    /// @notice Thrown when the payee could never take what it is paid: nobody, or a module of the Vault.
    error EscrowPayeeInvalid(address payee);

    /// @notice Thrown when the tier is none of `Tiers`.
    error EscrowTierUnknown(uint8 tier);

    /// @notice Thrown when the class is none of `VerdictClasses`.
    error EscrowClassUnknown(uint8 verdictClass);

    /// @notice Thrown when too much would be paid for merely having started.
    error EscrowStartedShareTooHigh(uint16 bps, uint16 max);

    /// @notice Thrown when nobody could deliver in so short a time.
    error EscrowDeliveryTooShort(uint32 deliverWithin, uint32 min);

    /// @notice Thrown when the price would be reserved for too long.
    error EscrowDeliveryTooLong(uint32 deliverWithin, uint32 max);

    /// @notice Thrown when the window is too short for the price.
    error EscrowWindowTooShort(uint32 window, uint32 min);

    /// @notice Thrown when the hub would refuse so long a window.
    error EscrowWindowTooLong(uint32 window, uint32 max);

    /// @notice Thrown when less stake stands behind the result than the price, or than the floor.
    error EscrowAtRiskTooLow(uint96 atRisk, uint96 min);

    /// @notice Thrown when the model is halted until `until`.
    error EscrowModelHalted(bytes32 record, uint40 until);

    /// @notice Thrown when a record is not registered.
    error EscrowRecordUnknown(bytes32 record);

    /// @notice Thrown when the result arrives after its deadline on the halt-adjusted clock.
    error EscrowDeliveredLate(uint40 activeNow, uint40 deliverBy);

    /// @notice Thrown when the task is not in the state that the call needs.
    error EscrowTaskNotOpen(bytes32 taskId, TaskStatus status);

    /// @notice Thrown when the operator may still deliver.
    error EscrowNotLate(uint40 activeNow, uint40 deliverBy);

    /// @notice Thrown when the result is not a trusted one, or its window has ended.
    error EscrowNotRejectable(uint8 tier, uint40 finalAt);

    /// @notice Thrown when a dispute is wanted where no Arbiter is deployed.
    error EscrowArbiterAbsent();

    /// @notice Thrown when more is agreed than the task's price.
    error EscrowShareAbovePrice(uint96 toPayee, uint96 price);

    /// @notice Thrown when the agreement is no longer valid.
    error EscrowAgreementExpired(uint40 validUntil);

    /// @notice Thrown when tasks of the job have not ended.
    error EscrowTasksOpen(uint16 count);

    /// @notice Thrown when a stranger closes a job before `openUntil` on the halt-adjusted clock.
    error EscrowNotExpired(uint40 openUntil);

    /// @notice Locks `budget` of the buyer's Vault balance for a question.
    function open(JobTerms calldata terms, uint96 budget) external returns (bytes32 jobId);

    /// @notice Adds the caller's money to a budget. Warning: what is left returns to the buyer, not to the caller.
    function topUp(JobTerms calldata terms, uint96 amount) external;

    /// @notice Reserves prices for tasks whose operators (or their signers) have signed. Buyer or steward.
    function assign(JobTerms calldata terms, Assignment[] calldata assignments, bytes[] calldata signatures) external;

    /// @notice The same for a task bought on the Market by `by`, where the offer was signed instead.
    function assignFor(address by, JobTerms calldata terms, Assignment calldata a) external;

    /// @notice Delivers a result, by anyone. A proved one is paid in the same call unless PAYOUT is halted.
    /// @dev The attestation is rebuilt from the assignment, so tier, window, circuit, input and stake at risk are what
    /// the buyer agreed to.
    function deliver(
        JobTerms calldata terms,
        Assignment calldata a,
        Result calldata result,
        bytes calldata signature,
        IAttestationHub.Proof calldata proof
    ) external;

    /// @notice Concludes a delivered task at the hub and pays, refunds or splits as it ended.
    function release(JobTerms calldata terms, Assignment calldata a, Result calldata result) external;

    /// @notice Returns the price of a task that was not delivered in time.
    function refund(JobTerms calldata terms, Assignment calldata a) external;

    /// @notice Returns the price at once, by anyone who brings the operator's or its signer's signature.
    /// @dev `Decline(bytes32 taskId,uint8 code)`.
    function decline(JobTerms calldata terms, Assignment calldata a, uint8 code, bytes calldata signature) external;

    /// @notice Rejects a trusted result within its window; the operator keeps `startedBps`. Buyer or steward.
    function reject(JobTerms calldata terms, Assignment calldata a, bytes32 reason) external;

    /// @notice Opens a dispute about a staked result that the parties may settle. Buyer or steward; the caller's bond.
    function challenge(JobTerms calldata terms, Assignment calldata a, Result calldata result, bytes32 evidence)
        external;

    /// @notice Splits a price as both sides have signed, at any time before it is paid.
    /// @dev `Agreement(bytes32 taskId,uint96 toPayee,uint40 validUntil)`, signed by buyer or steward, and by operator
    /// or its signer.
    function agree(
        JobTerms calldata terms,
        Assignment calldata a,
        uint96 toPayee,
        uint40 validUntil,
        bytes calldata buyerSignature,
        bytes calldata operatorSignature
    ) external;

    /// @notice Ends a job without open tasks and returns what is free. Buyer or steward; anyone once its time is over.
    function close(JobTerms calldata terms) external;

    /// @notice The book of a job.
    function jobOf(bytes32 jobId)
        external
        view
        returns (uint96 free, uint96 reserved, uint40 openUntil, uint16 openTasks, JobStatus status);

    /// @notice The book of a task.
    function taskOf(bytes32 taskId)
        external
        view
        returns (uint96 price, uint40 deliverBy, TaskStatus status, uint8 tier, uint16 startedBps);

    /// @notice The key of a job.
    function jobIdOf(JobTerms calldata terms) external view returns (bytes32);

    /// @notice The key of a task.
    function taskIdOf(Assignment calldata a) external pure returns (bytes32);
}

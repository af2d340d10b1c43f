// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IEscrow} from "../../../contracts/market/IEscrow.sol";
import {IAttestationHub} from "../../../contracts/oracle/IAttestationHub.sol";
import {Tiers} from "../../../contracts/oracle/Tiers.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {JobWorld} from "./JobWorld.sol";
import {ForgeTest} from "./Vm.sol";

/// @notice Plays jobs as buyer, steward, three operators and passers-by, and keeps a book of its own beside the
/// contracts'.
contract EscrowHandler is JobWorld {
    struct Job {
        IEscrow.JobTerms terms;
        bytes32 id;
        uint256 funded;
        uint256 paid;
        uint256 returned;
    }

    struct Task {
        IEscrow.Assignment a;
        bytes32 id;
        uint256 job;
        uint256 operator;
        uint256 paid;
        IEscrow.TaskStatus status;
        IAttestationHub.Status result;
    }

    error NothingToDo();

    uint256 public constant OPERATORS = 3;
    uint8 internal constant ANY = type(uint8).max;

    Job[] internal _jobs;
    Task[] internal _tasks;
    bytes32 internal _record;

    uint256 public calls;
    uint256 public successes;
    uint256 public paid;
    uint256 public slashBurnt;
    bool public isEveryMoveAllowed = true;

    constructor() {
        _deploy(address(0));
        _record = _registerRecord(1000);
        for (uint256 i = 0; i < OPERATORS; ++i) {
            _fund(operatorAt(i), 100_000 ether);
            vm.prank(operatorAt(i));
            registry.register(vm.addr(_signerKey(i)), PROFILE_OF_OPERATOR, STAKE);
        }
        _fund(buyer, 1_000_000 ether);
        _fund(steward, 100_000 ether);
    }

    // ── what is played ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Counts, and looks at every task afterwards: nothing may have moved but along the allowed ways.
    modifier played() {
        ++calls;
        _;
        _watch();
    }

    function assign(uint256 seed, uint256 price, uint256 tier) external played {
        try this.doAssign(seed, price, tier) {
            ++successes;
        } catch {}
    }

    function assignMore(uint256 seed, uint256 price, uint256 tier) external played {
        try this.doAssign(seed, price, tier) {
            ++successes;
        } catch {}
    }

    function deliver(uint256 seed) external played {
        try this.doDeliver(seed) {
            ++successes;
        } catch {}
    }

    function deliverMore(uint256 seed) external played {
        try this.doDeliver(seed) {
            ++successes;
        } catch {}
    }

    function release(uint256 seed) external played {
        try this.doRelease(seed) {
            ++successes;
        } catch {}
    }

    function refund(uint256 seed) external played {
        try this.doRefund(seed) {
            ++successes;
        } catch {}
    }

    function decline(uint256 seed) external played {
        try this.doDecline(seed) {
            ++successes;
        } catch {}
    }

    function reject(uint256 seed) external played {
        try this.doReject(seed) {
            ++successes;
        } catch {}
    }

    function agree(uint256 seed, uint256 share) external played {
        try this.doAgree(seed, share) {
            ++successes;
        } catch {}
    }

    function close(uint256 seed) external played {
        try this.doClose(seed) {
            ++successes;
        } catch {}
    }

    function topUp(uint256 seed, uint256 amount) external played {
        try this.doTopUp(seed, amount) {
            ++successes;
        } catch {}
    }

    function exit(uint256 seed, uint256 amount) external played {
        try this.doExit(seed, amount) {
            ++successes;
        } catch {}
    }

    function equivocate(uint256 seed) external played {
        try this.doEquivocate(seed) {
            ++successes;
        } catch {}
    }

    function contradict(uint256 seed) external played {
        try this.doContradict(seed) {
            ++successes;
        } catch {}
    }

    function pass(uint256 time) external played {
        vm.warp(block.timestamp + _within(time, 1, 2 hours));
        ++successes;
    }

    function halt(uint256 flow, uint256 duration) external played {
        // Only when nothing is halted, as the KillSwitch begins no halt inside another.
        if (!escrow.isFlowHalted(INTAKE)) _halt(uint8(_within(flow, 1, 2)), uint40(_within(duration, 1, 20 minutes)));
        ++successes;
    }

    // ── how each is done ─────────────────────────────────────────────────────────────────────────────────────────────

    function doAssign(uint256 seed, uint256 price, uint256 tier) external {
        // One in four meets the halt, the others wait it out.
        if (seed % 4 != 0) _waitOutHalts();
        _newTask(seed, price, uint8(tier % 3));
    }

    function doDeliver(uint256 seed) external {
        _deliverTask(_assignedTask(seed));
    }

    function doRelease(uint256 seed) external {
        Task storage task = _deliveredTask(seed, ANY, seed % 2 == 0);
        (IAttestationHub.Status result,, uint40 finalAt) = hub.statusOf(task.id, task.a.operator);
        bool isEarly = result == IAttestationHub.Status.PENDING && escrow.activeTime() < finalAt;
        if (isEarly && seed % 4 != 0) {
            _waitOutHalts();
            vm.warp(block.timestamp + finalAt - escrow.activeTime());
        }
        escrow.release(_jobs[task.job].terms, task.a, _resultOf(task.a));
        (,, IEscrow.TaskStatus status,,) = escrow.taskOf(task.id);
        if (status == IEscrow.TaskStatus.PAID) _book(task, task.a.price);
    }

    function doRefund(uint256 seed) external {
        Task storage task = _assignedTask(seed);
        (, uint40 deliverBy,,,) = escrow.taskOf(task.id);
        if (seed % 4 != 0) {
            _waitOutHalts();
            vm.warp(block.timestamp + deliverBy + 1 - escrow.activeTime());
        }
        vm.prank(stranger);
        escrow.refund(_jobs[task.job].terms, task.a);
    }

    function doDecline(uint256 seed) external {
        Task storage task = _assignedTask(seed);
        bytes memory signature = _signDecline(_signerKey(task.operator), task.a, 1);
        escrow.decline(_jobs[task.job].terms, task.a, 1, signature);
    }

    function doReject(uint256 seed) external {
        Task storage task = _deliveredTask(seed, Tiers.TRUSTED, true);
        vm.prank(steward);
        escrow.reject(_jobs[task.job].terms, task.a, keccak256("reason"));
        _book(task, (uint256(task.a.price) * task.a.startedBps) / 10_000);
    }

    function doAgree(uint256 seed, uint256 share) external {
        Task storage task = seed % 2 == 0 ? _assignedTask(seed) : _deliveredTask(seed, ANY, false);
        uint96 toPayee = uint96(_within(share, 0, task.a.price));
        uint40 until = uint40(block.timestamp);
        bytes memory bySide = _signAgreement(STEWARD_KEY, task.a, toPayee, until);
        bytes memory byOperator = _signAgreement(_signerKey(task.operator), task.a, toPayee, until);
        escrow.agree(_jobs[task.job].terms, task.a, toPayee, until, bySide, byOperator);
        _book(task, toPayee);
    }

    function doClose(uint256 seed) external {
        Job storage job = _jobs[_openJob(seed)];
        uint256 before = vault.freeOf(buyer);
        vm.prank(buyer);
        escrow.close(job.terms);
        job.returned += vault.freeOf(buyer) - before;
    }

    function doTopUp(uint256 seed, uint256 amount) external {
        if (seed % 4 != 0) _waitOutHalts();
        Job storage job = _jobs[_openJob(seed)];
        uint96 more = uint96(_within(amount, 1, 10 ether));
        vm.prank(steward);
        escrow.topUp(job.terms, more);
        job.funded += more;
    }

    function doExit(uint256 seed, uint256 amount) external {
        address who = operatorAt(seed % OPERATORS);
        (uint96 stake, uint96 locked, uint96 leaving, uint40 leavingAt) = registry.coverOf(who);
        if (leaving == 0) {
            vm.prank(who);
            registry.requestExit(uint96(_within(amount, 1, (stake - locked) / 4)));
        } else if (registry.activeTime() >= leavingAt) {
            registry.completeExit(who);
        } else {
            vm.prank(who);
            registry.addStake(uint96(_within(amount, 1, 1 ether)));
        }
    }

    function doEquivocate(uint256 seed) external {
        // The first operator only, or nobody would be left to play on.
        Task storage task = _deliveredTask(seed, ANY, false);
        require(task.operator == 0, NothingToDo());
        IAttestationHub.Attestation memory a = _attestationOf(task.a, _resultOf(task.a));
        IAttestationHub.Attestation memory b = _attestationOf(task.a, _resultOf(task.a));
        b.result = keccak256("another file");
        uint256 before = vault.pile();
        vm.prank(reporter);
        hub.proveEquivocation(a, _signAttestation(_signerKey(0), a), b, _signAttestation(_signerKey(0), b));
        slashBurnt += vault.pile() - before;
    }

    function doContradict(uint256 seed) external {
        Task storage task = _deliveredTask(seed, Tiers.STAKED, true);
        IAttestationHub.Attestation memory a = _attestationOf(task.a, _resultOf(task.a));
        uint256[] memory other = _taskOutputs();
        other[0] += 1;
        bytes32 context = _contextOf(block.chainid, address(hub), a.request, a.circuitId, reporter);
        verifier.accept(_wordsOf(_taskInputs(), context, other));
        IAttestationHub.Layer memory layer = IAttestationHub.Layer(1, a.circuitId, a.inputHash, a.outputHash);
        uint256 before = vault.pile();
        vm.prank(reporter);
        hub.contradict(a, layer, _taskInputs(), other, new bytes32[][](0), "proof");
        slashBurnt += vault.pile() - before;
    }

    /// Every open task, ended by a stranger and time alone. ESCROW-4.
    function endByTime() external {
        vm.warp(block.timestamp + 60 days);
        vm.startPrank(stranger);
        for (uint256 i = 0; i < _tasks.length; ++i) {
            Task storage task = _tasks[i];
            if (task.status == IEscrow.TaskStatus.ASSIGNED) escrow.refund(_jobs[task.job].terms, task.a);
            if (task.status == IEscrow.TaskStatus.DELIVERED) {
                escrow.release(_jobs[task.job].terms, task.a, _resultOf(task.a));
            }
        }
        for (uint256 i = 0; i < _jobs.length; ++i) {
            (,,,, IEscrow.JobStatus status) = escrow.jobOf(_jobs[i].id);
            if (status == IEscrow.JobStatus.OPEN) escrow.close(_jobs[i].terms);
        }
        vm.stopPrank();
    }

    // ── the book ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function operatorAt(uint256 i) public pure returns (address) {
        return vm.addr(0xA000 + i);
    }

    function jobCount() external view returns (uint256) {
        return _jobs.length;
    }

    function taskCount() external view returns (uint256) {
        return _tasks.length;
    }

    /// ESCROW-1 for one job: free + reserved + paid + refunded = funded.
    function isJobBalanced(uint256 i) external view returns (bool) {
        Job storage job = _jobs[i];
        (uint96 free, uint96 reserved,,,) = escrow.jobOf(job.id);
        return free + reserved + job.paid + job.returned == job.funded;
    }

    /// ESCROW-5 for one task, and that its end fits what was paid.
    function isTaskFair(uint256 i) external view returns (bool) {
        Task storage task = _tasks[i];
        if (task.status == IEscrow.TaskStatus.PAID) return task.paid == task.a.price;
        if (task.status == IEscrow.TaskStatus.SPLIT) return task.paid <= task.a.price;
        return task.paid == 0;
    }

    /// TOKEN-5 for the Escrow: its book sums to what it holds.
    function bookOfEscrow() external view returns (uint256 sum) {
        for (uint256 i = 0; i < _jobs.length; ++i) {
            (uint96 free, uint96 reserved,,,) = escrow.jobOf(_jobs[i].id);
            sum += uint256(free) + reserved;
        }
    }

    function heldByEscrow() external view returns (uint256) {
        return vault.heldBy(address(escrow));
    }

    /// What reached payees, owners of records and the pile by tasks.
    function arrived() external view returns (uint256) {
        return uint256(vault.freeOf(payee)) + vault.heldBy(address(royalties)) + vault.pile() - slashBurnt;
    }

    /// ORACLE-1, ORACLE-3.
    function stakes() external view returns (uint256 sum, uint256 held, uint256 total, bool isEachCovered) {
        isEachCovered = true;
        uint256 staked = 0;
        for (uint256 i = 0; i < OPERATORS; ++i) {
            (uint96 stake, uint96 locked, uint96 leaving,) = registry.coverOf(operatorAt(i));
            sum += uint256(stake) + leaving;
            staked += stake;
            if (locked > stake) isEachCovered = false;
        }
        return (sum, vault.heldBy(address(registry)), registry.totalStake() - staked, isEachCovered);
    }

    /// ORACLE-7: what is locked is what pending staked results put at risk. After a double answer less may be left.
    function isEveryPendingCovered() external view returns (bool) {
        for (uint256 i = 0; i < OPERATORS; ++i) {
            uint256 atRisk = 0;
            for (uint256 j = 0; j < _tasks.length; ++j) {
                Task storage task = _tasks[j];
                bool isPending = task.result == IAttestationHub.Status.PENDING && task.a.tier == Tiers.STAKED;
                if (task.operator == i && isPending) atRisk += task.a.atRisk;
            }
            (, uint96 locked,,) = registry.coverOf(operatorAt(i));
            if (registry.isBarred(operatorAt(i)) ? locked > atRisk : locked != atRisk) return false;
        }
        return true;
    }

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function _signerKey(uint256 i) private pure returns (uint256) {
        return 0xB000 + i;
    }

    function _book(Task storage task, uint256 amount) private {
        task.paid += amount;
        _jobs[task.job].paid += amount;
        paid += amount;
    }

    function _newTask(uint256 seed, uint256 price, uint8 tier) private returns (Task storage task) {
        uint256 job = _jobWithRoom(100 ether);
        uint256 who = seed % OPERATORS;
        if (registry.isBarred(operatorAt(who))) who = OPERATORS - 1;
        IEscrow.Assignment memory a = _assignment(_jobs[job].id, tier);
        a.records = new bytes32[](1);
        a.records[0] = _record;
        a.operator = operatorAt(who);
        a.price = uint96(_within(price, 0, 99 ether));
        a.startedBps = uint16(_within(price, 0, STARTED_MAX_BPS));
        a.salt = _tasks.length;
        IEscrow.Assignment[] memory list = new IEscrow.Assignment[](1);
        bytes[] memory signatures = new bytes[](1);
        list[0] = a;
        signatures[0] = _signAssignment(_signerKey(who), a);
        vm.prank(seed % 2 == 0 ? buyer : steward);
        escrow.assign(_jobs[job].terms, list, signatures);
        task = _tasks.push();
        task.a = a;
        task.id = _assignmentHash(a);
        task.job = job;
        task.operator = who;
        task.status = IEscrow.TaskStatus.ASSIGNED;
    }

    function _deliverTask(Task storage task) private {
        IEscrow.Assignment memory a = task.a;
        IAttestationHub.Proof memory proof = _noProof();
        if (a.tier == Tiers.PROVED) {
            proof = _proofOf();
            bytes32 request = keccak256(abi.encode(a.jobId, a.salt));
            bytes32 context = _contextOf(block.chainid, address(hub), request, a.circuitId, a.operator);
            verifier.accept(_wordsOf(proof.inputs, context, proof.outputs));
        }
        bytes memory signature = _signAttestation(_signerKey(task.operator), _attestationOf(a, _resultOf(a)));
        escrow.deliver(_jobs[task.job].terms, a, _resultOf(a), signature, proof);
        (,, IEscrow.TaskStatus status,,) = escrow.taskOf(task.id);
        task.status = status;
        if (status == IEscrow.TaskStatus.PAID) _book(task, a.price);
    }

    function _jobWithRoom(uint96 room) private returns (uint256) {
        for (uint256 i = 0; i < _jobs.length; ++i) {
            (uint96 free,, uint40 openUntil,, IEscrow.JobStatus status) = escrow.jobOf(_jobs[i].id);
            bool isUsable = status == IEscrow.JobStatus.OPEN && escrow.activeTime() < openUntil;
            if (isUsable && free >= room) return i;
        }
        return _newJob();
    }

    function _newJob() private returns (uint256) {
        IEscrow.JobTerms memory terms = IEscrow.JobTerms(buyer, steward, keccak256("question"), 10 days, _jobs.length);
        vm.prank(buyer);
        bytes32 id = escrow.open(terms, 500 ether);
        Job storage job = _jobs.push();
        job.terms = terms;
        job.id = id;
        job.funded = 500 ether;
        return _jobs.length - 1;
    }

    /// Half of the time any open job, else one without open tasks.
    function _openJob(uint256 seed) private returns (uint256) {
        for (uint256 i = 0; i < _jobs.length; ++i) {
            (,,, uint16 openTasks, IEscrow.JobStatus status) = escrow.jobOf(_jobs[i].id);
            if (status == IEscrow.JobStatus.OPEN && (seed % 2 == 0 || openTasks == 0)) return i;
        }
        return _newJob();
    }

    /// A task that can still be delivered: one there is, or a new one.
    function _assignedTask(uint256 seed) private returns (Task storage) {
        for (uint256 i = 0; i < _tasks.length; ++i) {
            Task storage task = _tasks[(seed % _tasks.length + i) % _tasks.length];
            (, uint40 deliverBy,,,) = escrow.taskOf(task.id);
            bool isUsable = escrow.activeTime() <= deliverBy && !registry.isBarred(task.a.operator);
            if (task.status == IEscrow.TaskStatus.ASSIGNED && isUsable) return task;
        }
        return _newTask(seed, seed, uint8(seed % 3));
    }

    /// A delivered task, still in its window if it must be: one there is, or a new one.
    function _deliveredTask(uint256 seed, uint8 tier, bool inWindow) private returns (Task storage task) {
        for (uint256 i = 0; i < _tasks.length; ++i) {
            task = _tasks[(seed % _tasks.length + i) % _tasks.length];
            (IAttestationHub.Status result,, uint40 finalAt) = hub.statusOf(task.id, task.a.operator);
            bool isOpen = result == IAttestationHub.Status.PENDING && escrow.activeTime() < finalAt;
            bool isFit = tier == ANY || task.a.tier == tier;
            if (task.status == IEscrow.TaskStatus.DELIVERED && isFit && (isOpen || !inWindow)) return task;
        }
        _waitOutHalts();
        task = _newTask(seed, seed, tier == ANY ? uint8(1 + seed % 2) : tier);
        _deliverTask(task);
    }

    function _waitOutHalts() private {
        IHaltable.Halts memory word = escrow.halts();
        uint256 until = word.intakeUntil > word.payoutUntil ? word.intakeUntil : word.payoutUntil;
        if (block.timestamp < until) vm.warp(until);
    }

    /// ESCROW-2 and ORACLE-5.
    function _watch() private {
        for (uint256 i = 0; i < _tasks.length; ++i) {
            Task storage task = _tasks[i];
            (,, IEscrow.TaskStatus status,,) = escrow.taskOf(task.id);
            (IAttestationHub.Status result,,) = hub.statusOf(task.id, task.a.operator);
            if (!_mayBecome(task.status, status) || !_mayResultBecome(task.result, result)) isEveryMoveAllowed = false;
            task.status = status;
            task.result = result;
        }
    }

    function _mayBecome(IEscrow.TaskStatus from, IEscrow.TaskStatus to) private pure returns (bool) {
        if (from == to) return true;
        if (from == IEscrow.TaskStatus.NONE) return to == IEscrow.TaskStatus.ASSIGNED;
        // A proved task is delivered and paid in one call.
        if (from == IEscrow.TaskStatus.ASSIGNED) return to != IEscrow.TaskStatus.NONE;
        return from == IEscrow.TaskStatus.DELIVERED && to > IEscrow.TaskStatus.DELIVERED;
    }

    function _mayResultBecome(IAttestationHub.Status from, IAttestationHub.Status to) private pure returns (bool) {
        if (from == to || from == IAttestationHub.Status.NONE) return true;
        bool isEnd = to == IAttestationHub.Status.FINAL || to == IAttestationHub.Status.FAULTED;
        return from == IAttestationHub.Status.PENDING && isEnd;
    }
}

/// @notice The properties of Escrow, OracleRegistry and AttestationHub under any order of calls.
contract EscrowInvariantTest is ForgeTest {
    EscrowHandler internal handler;

    function setUp() public {
        handler = new EscrowHandler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](16);
        selectors[0] = EscrowHandler.assign.selector;
        selectors[1] = EscrowHandler.deliver.selector;
        selectors[2] = EscrowHandler.release.selector;
        selectors[3] = EscrowHandler.refund.selector;
        selectors[4] = EscrowHandler.decline.selector;
        selectors[5] = EscrowHandler.reject.selector;
        selectors[6] = EscrowHandler.agree.selector;
        selectors[7] = EscrowHandler.close.selector;
        selectors[8] = EscrowHandler.topUp.selector;
        selectors[9] = EscrowHandler.exit.selector;
        selectors[10] = EscrowHandler.equivocate.selector;
        selectors[11] = EscrowHandler.contradict.selector;
        selectors[12] = EscrowHandler.pass.selector;
        selectors[13] = EscrowHandler.halt.selector;
        selectors[14] = EscrowHandler.assignMore.selector;
        selectors[15] = EscrowHandler.deliverMore.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// One function, because each would play the same calls again.
    function invariant_books_stakes_and_statuses_agree() public view {
        _assertJobsBalanced();
        _assertWhatIsPaidArrives();
        _assertStakesHeld();
        // ESCROW-2, ORACLE-5: statuses move along the allowed ways only.
        assertTrue(handler.isEveryMoveAllowed(), "a status moved along no allowed way");
        // ORACLE-7.
        assertTrue(handler.isEveryPendingCovered(), "a pending staked result is not covered");
    }

    /// ESCROW-4, and that the play was no row of refusals.
    function afterInvariant() public {
        assertGe(handler.successes() * 100, handler.calls() * 60);
        handler.endByTime();
        assertEq(handler.heldByEscrow(), 0);
    }

    /// ESCROW-1, ESCROW-5.
    function _assertJobsBalanced() private view {
        for (uint256 i = 0; i < handler.jobCount(); ++i) {
            assertTrue(handler.isJobBalanced(i), "free + reserved + paid + refunded is not funded");
        }
        for (uint256 i = 0; i < handler.taskCount(); ++i) {
            assertTrue(handler.isTaskFair(i), "a task was paid other than its end allows");
        }
    }

    /// ESCROW-3, TOKEN-5.
    function _assertWhatIsPaidArrives() private view {
        assertEq(handler.arrived(), handler.paid());
        assertEq(handler.bookOfEscrow(), handler.heldByEscrow());
    }

    /// ORACLE-1, ORACLE-3.
    function _assertStakesHeld() private view {
        (uint256 sum, uint256 held, uint256 difference, bool isEachCovered) = handler.stakes();
        assertEq(sum, held);
        assertEq(difference, 0);
        assertTrue(isEachCovered, "more is locked than staked");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGoverned} from "../../../contracts/base/IGoverned.sol";
import {AnchorKinds, IProvenance, RecordKinds} from "../../../contracts/registry/IProvenance.sol";
import {Provenance} from "../../../contracts/registry/Provenance.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

contract ProvenanceTest is MoneyWorld {
    bytes32 private constant DIGEST = keccak256("weights");
    IProvenance.Parent[] private none;

    function setUp() public {
        _deploy();
    }

    function _parent(bytes32 record, uint16 shareBps) private pure returns (IProvenance.Parent[] memory parents) {
        parents = new IProvenance.Parent[](1);
        parents[0] = IProvenance.Parent(record, shareBps, new IProvenance.Share[](0));
    }

    /// Announced and old enough; the next call registers as `owner`.
    function _ready(IProvenance.Registration memory registration) private {
        _announce(registration);
        vm.warp(vm.getBlockTimestamp() + COMMIT_MIN);
    }

    // ── commit and register ──────────────────────────────────────────────────────────────────────────────────────────

    function test_register_keeps_what_was_announced() public {
        IProvenance.Registration memory r = IProvenance.Registration(RecordKinds.DATA, DIGEST, payee, 3000, 700);
        bytes32 commitment = keccak256(abi.encode(r, bytes32(0), owner));
        vm.expectEmit(address(provenance));
        emit IProvenance.RecordCommitted(commitment);
        _announce(r);
        assertEq(provenance.commitmentOf(commitment, owner), START);
        vm.warp(START + COMMIT_MIN);
        bytes32 expected = keccak256(abi.encode(RecordKinds.DATA, DIGEST));
        vm.expectEmit(address(provenance));
        emit IProvenance.RecordRegistered(expected, payee, r, new IProvenance.Share[](0));
        vm.prank(owner);
        assertEq(provenance.register(r, none, bytes32(0)), expected);
        IProvenance.Record memory record = provenance.recordOf(expected);
        assertEq(record.owner, payee);
        assertEq(record.royaltyBps, 3000);
        assertEq(record.derivativeBps, 700);
        assertEq(record.kind, RecordKinds.DATA);
        assertEq(record.ancestors, 0);
        assertEq(provenance.ancestorsHashOf(expected), bytes32(0));
        assertEq(provenance.commitmentOf(commitment, owner), 0);
        assertEq(provenance.recordIdOf(RecordKinds.DATA, DIGEST), expected);
        assertLe(address(provenance).code.length, 24_576);
    }

    /// The copying attack: a commitment binds its sender, and a late commitment is too young.
    function test_register_refuses_who_copies_from_the_mempool() public {
        IProvenance.Registration memory r = _registration(DIGEST, 100);
        _ready(r);
        bytes32 copied = keccak256(abi.encode(r, bytes32(0), stranger));
        vm.startPrank(stranger);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceCommitmentUnknown.selector, copied));
        provenance.register(r, none, bytes32(0));
        provenance.commit(copied);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceCommitmentTooYoung.selector, 0, COMMIT_MIN));
        provenance.register(r, none, bytes32(0));
        vm.stopPrank();
    }

    function test_register_works_from_the_least_to_the_greatest_age() public {
        IProvenance.Registration memory r = _registration(DIGEST, 100);
        uint40[4] memory ages = [COMMIT_MIN - 1, COMMIT_MIN, COMMIT_MAX, COMMIT_MAX + 1];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 snapshot = vm.snapshotState();
            _announce(r);
            vm.warp(START + ages[i]);
            if (i == 0) {
                _expect(abi.encodeWithSelector(IProvenance.ProvenanceCommitmentTooYoung.selector, ages[i], COMMIT_MIN));
            }
            if (i == 3) {
                _expect(abi.encodeWithSelector(IProvenance.ProvenanceCommitmentExpired.selector, ages[i], COMMIT_MAX));
            }
            vm.prank(owner);
            provenance.register(r, none, bytes32(0));
            vm.revertToState(snapshot);
        }
    }

    function test_register_refuses_a_known_record() public {
        bytes32 recordId = _register(DIGEST, 100);
        _ready(_registration(DIGEST, 50));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceKnown.selector, recordId, owner));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 50), none, bytes32(0));
    }

    function test_register_refuses_nobody_as_owner() public {
        IProvenance.Registration memory r = _registration(DIGEST, 100);
        r.owner = address(0);
        _ready(r);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceZeroOwner.selector));
        vm.prank(owner);
        provenance.register(r, none, bytes32(0));
    }

    function test_register_refuses_an_unknown_kind() public {
        IProvenance.Registration memory r = _registration(DIGEST, 100);
        r.kind = RecordKinds.COUNT;
        _ready(r);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceKindUnknown.selector, RecordKinds.COUNT));
        vm.prank(owner);
        provenance.register(r, none, bytes32(0));
    }

    function test_register_refuses_a_royalty_above_the_most() public {
        IProvenance.Registration memory r = _registration(DIGEST, ROYALTY_MAX_BPS + 1);
        _ready(r);
        _expect(
            abi.encodeWithSelector(IProvenance.ProvenanceRoyaltyTooHigh.selector, ROYALTY_MAX_BPS + 1, ROYALTY_MAX_BPS)
        );
        vm.prank(owner);
        provenance.register(r, none, bytes32(0));
    }

    // ── RECORD-1, RECORD-2 ───────────────────────────────────────────────────────────────────────────────────────────

    /// RECORD-1: a child names parents that exist, so no cycle can be written, not even of one.
    function test_register_refuses_a_parent_that_does_not_exist() public {
        bytes32 itself = provenance.recordIdOf(RecordKinds.MODEL, DIGEST);
        _ready(_registration(DIGEST, 100));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceParentUnknown.selector, itself));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), _parent(itself, 100), bytes32(0));
    }

    function test_register_refuses_nine_parents() public {
        _ready(_registration(DIGEST, 100));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceTooManyParents.selector, 9, 8));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), new IProvenance.Parent[](9), bytes32(0));
    }

    function test_register_gives_a_parent_what_it_demands_and_no_less() public {
        IProvenance.Registration memory demanding = _registration("parent", 100);
        demanding.derivativeBps = 800;
        bytes32 parent = _register(demanding, none);
        _ready(_registration(DIGEST, 100));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceShareBelowDemand.selector, parent, 799, 800));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), _parent(parent, 799), bytes32(0));
        vm.prank(owner);
        bytes32 child = provenance.register(_registration(DIGEST, 100), _parent(parent, 800), bytes32(0));
        assertEq(provenance.recordOf(child).ancestors, 1);
        assertEq(provenance.ancestorsHashOf(child), keccak256(abi.encode(_shares(parent, 800))));
    }

    function test_register_refuses_shares_above_the_cap() public {
        bytes32 parent = _register("parent", 100);
        _ready(_registration(DIGEST, 100));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceSharesAboveCap.selector, 5001, 5000));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), _parent(parent, 5001), bytes32(0));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), _parent(parent, 5000), bytes32(0));
    }

    function test_register_refuses_another_lineage_than_registered() public {
        bytes32 grandparent = _register("grandparent", 100);
        bytes32 parent = _register(_registration("parent", 100), _parent(grandparent, 1000));
        IProvenance.Parent[] memory parents = _parent(parent, 2000);
        _ready(_registration(DIGEST, 100));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceLineageMismatch.selector, parent));
        vm.prank(owner);
        provenance.register(_registration(DIGEST, 100), parents, bytes32(0));
        parents[0].lineage = _shares(grandparent, 1000);
        IProvenance.Share[] memory expected = new IProvenance.Share[](2);
        expected[0] = IProvenance.Share(parent, 1800);
        expected[1] = IProvenance.Share(grandparent, 200);
        vm.prank(owner);
        bytes32 child = provenance.register(_registration(DIGEST, 100), parents, bytes32(0));
        assertEq(provenance.ancestorsHashOf(child), keccak256(abi.encode(expected)));
    }

    function _shares(bytes32 record, uint16 bps) private pure returns (IProvenance.Share[] memory shares) {
        shares = new IProvenance.Share[](1);
        shares[0] = IProvenance.Share(record, bps);
    }

    // ── RECORD-3 ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_royalty_only_falls() public {
        bytes32 recordId = _register(DIGEST, 100);
        vm.startPrank(owner);
        uint16[2] memory refused = [uint16(100), 101];
        for (uint256 i = 0; i < 2; ++i) {
            _expect(abi.encodeWithSelector(IProvenance.ProvenanceRoyaltyNotLower.selector, refused[i], 100));
            provenance.lowerRoyalty(recordId, refused[i]);
        }
        vm.expectEmit(address(provenance));
        emit IProvenance.RecordRoyaltyLowered(recordId, 99);
        provenance.lowerRoyalty(recordId, 99);
        vm.stopPrank();
        (address to, uint16 bps) = provenance.royaltyOf(recordId);
        assertEq(to, owner);
        assertEq(bps, 99);
    }

    function test_owner_alone_lowers_and_gives_away() public {
        bytes32 recordId = _register(DIGEST, 100);
        bytes memory refused = abi.encodeWithSelector(IProvenance.ProvenanceNotOwner.selector, stranger, owner);
        vm.startPrank(stranger);
        _expect(refused);
        provenance.lowerRoyalty(recordId, 1);
        _expect(refused);
        provenance.setOwner(recordId, stranger);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceNotOwner.selector, stranger, address(0)));
        provenance.setOwner("unknown", stranger);
        vm.stopPrank();
        vm.startPrank(owner);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceZeroOwner.selector));
        provenance.setOwner(recordId, address(0));
        vm.expectEmit(address(provenance));
        emit IProvenance.RecordOwnerChanged(recordId, owner, payee);
        provenance.setOwner(recordId, payee);
        vm.stopPrank();
        assertEq(provenance.recordOf(recordId).owner, payee);
    }

    // ── halts, anchors, parameters ───────────────────────────────────────────────────────────────────────────────────

    function test_model_halt_ends_to_the_second() public {
        bytes32 recordId = _register(DIGEST, 100);
        uint40 until = uint40(block.timestamp) + 12 hours;
        vm.prank(killSwitch);
        provenance.setModelHalt(recordId, until);
        vm.warp(until - 1);
        assertTrue(provenance.isHalted(recordId));
        assertEq(provenance.recordOf(recordId).haltedUntil, until);
        vm.warp(until);
        assertFalse(provenance.isHalted(recordId));
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceNotKillSwitch.selector, owner));
        vm.prank(owner);
        provenance.setModelHalt(recordId, until);
    }

    function test_anchor_works_once_for_every_sender() public {
        vm.expectEmit(address(provenance));
        emit IProvenance.DigestAnchored(DIGEST, "job", owner, AnchorKinds.TRACE, 77);
        vm.prank(owner);
        provenance.anchor(DIGEST, "job", AnchorKinds.TRACE, 77);
        assertEq(provenance.anchorOf(DIGEST, owner), START);
        vm.warp(START + 5);
        _expect(abi.encodeWithSelector(IProvenance.ProvenanceAlreadyAnchored.selector, DIGEST, owner));
        vm.prank(owner);
        provenance.anchor(DIGEST, "job", AnchorKinds.TRACE, 77);
        vm.prank(stranger);
        provenance.anchor(DIGEST, "other", AnchorKinds.LISTING, 1);
        assertEq(provenance.anchorOf(DIGEST, stranger), START + 5);
    }

    function test_ancestors_cap_moves_within_its_bounds() public {
        vm.startPrank(governance);
        bytes32 key = "ancestorsCap";
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueBelowMin.selector, key, 999, 1000));
        provenance.setAncestorsCap(999);
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueAboveMax.selector, key, 10_001, 10_000));
        provenance.setAncestorsCap(10_001);
        provenance.setAncestorsCap(1000);
        vm.expectEmit(address(provenance));
        emit IGoverned.ParameterChanged(key, 1000, 10_000);
        provenance.setAncestorsCap(10_000);
        vm.stopPrank();
        assertEq(provenance.ancestorsCap(), 10_000);
        _expect(abi.encodeWithSelector(IGoverned.GovernedNotGovernance.selector, stranger));
        vm.prank(stranger);
        provenance.setAncestorsCap(1000);
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueBelowMin.selector, key, 999, 1000));
        new Provenance(governance, killSwitch, COMMIT_MIN, COMMIT_MAX, ROYALTY_MAX_BPS, 999);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IGoverned} from "../../../contracts/base/IGoverned.sol";
import {IProvenance} from "../../../contracts/registry/IProvenance.sol";
import {IRoyalties} from "../../../contracts/registry/IRoyalties.sol";
import {Royalties} from "../../../contracts/registry/Royalties.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

contract RoyaltiesTest is MoneyWorld {
    bytes32 private parent;
    bytes32 private child;
    IProvenance.Share[] private lineage;
    IProvenance.Share[] private none;

    function setUp() public {
        _deploy();
        parent = _register("parent", 100);
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](1);
        parents[0] = IProvenance.Parent(parent, 2500, none);
        child = _register(_registration("child", 1000), parents);
        lineage.push(IProvenance.Share(parent, 2500));
        _moveAs(escrow, owner, escrow, 1000 ether);
        // The parent is sold after the child was registered: its present owner is paid.
        vm.prank(owner);
        provenance.setOwner(parent, payee);
    }

    function _records(uint256 count) private view returns (bytes32[] memory records) {
        records = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            records[i] = i == 0 ? child : parent;
        }
    }

    /// As Escrow pays: books, and moves in the same transaction.
    function _pay(uint96 price, bytes32[] memory records) private returns (uint96 fee, uint96 royalty) {
        vm.startPrank(escrow);
        (fee, royalty) = royalties.accrue(records, price);
        vault.move(escrow, _credits(address(royalties), royalty));
        vm.stopPrank();
    }

    // ── accrue ───────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_accrue_splits_the_price_and_books_every_record() public {
        vm.expectEmit(address(royalties));
        emit IRoyalties.RoyaltyAccrued(child, 10 ether);
        vm.expectEmit(address(royalties));
        emit IRoyalties.RoyaltyAccrued(parent, 1 ether);
        (uint96 fee, uint96 royalty) = _pay(100 ether, _records(2));
        assertEq(fee, 2 ether);
        assertEq(royalty, 11 ether);
        assertEq(royalties.accruedFor(child), 10 ether);
        assertEq(royalties.accruedFor(parent), 1 ether);
        assertEq(royalties.burntFor(child), 1 ether);
        assertEq(royalties.burntFor(parent), 1 ether);
        assertEq(royalties.usesOf(child), 1);
        assertLe(address(royalties).code.length, 24_576);
    }

    function test_accrue_without_records_takes_the_fee_alone() public {
        (uint96 fee, uint96 royalty) = _pay(99, new bytes32[](0));
        assertEq(fee, 1);
        assertEq(royalty, 0);
    }

    function test_accrue_refuses_who_is_no_payer() public {
        address[2] memory refused = [stranger, address(vault)];
        for (uint256 i = 0; i < 2; ++i) {
            _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesNotPayer.selector, refused[i]));
            vm.prank(refused[i]);
            royalties.accrue(_records(1), 1 ether);
        }
    }

    /// ROYALTY-1: fee, royalty and the payee's part are the price, and the payee keeps most of it.
    function testFuzz_parts_never_exceed_the_price(uint96 price, uint16 feeBps, uint8 count) public {
        vm.prank(governance);
        royalties.setFeeBps(uint16(_within(feeBps, 0, 500)));
        bytes32[] memory records = _records(_within(count, 0, 4));
        royalties.requirePayable(records);
        vm.prank(escrow);
        (uint96 fee, uint96 royalty) = royalties.accrue(records, price);
        assertLe(uint256(fee) + royalty, uint256(price) * 3500 / 10_000);
    }

    /// ROYALTY-3: a payment writes one slot for every record, whatever its lineage.
    function test_accrue_writes_one_slot_a_record() public {
        _pay(1 ether, _records(2));
        vm.record();
        vm.prank(escrow);
        royalties.accrue(_records(2), 1 ether);
        (, bytes32[] memory writes) = vm.accesses(address(royalties));
        uint256 distinct = 0;
        for (uint256 i = 0; i < writes.length; ++i) {
            bool isNew = true;
            for (uint256 j = 0; j < i; ++j) {
                isNew = isNew && writes[i] != writes[j];
            }
            distinct += isNew ? 1 : 0;
        }
        assertEq(distinct, 2);
    }

    // ── what can be paid ─────────────────────────────────────────────────────────────────────────────────────────────

    function test_payable_refuses_five_records() public {
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesTooManyRecords.selector, 5, 4));
        royalties.requirePayable(_records(5));
        royalties.requirePayable(_records(4));
    }

    function test_payable_refuses_an_unknown_record() public {
        bytes32[] memory records = new bytes32[](1);
        records[0] = "unknown";
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesRecordUnknown.selector, records[0]));
        royalties.requirePayable(records);
    }

    function test_payable_refuses_royalties_above_the_stack() public {
        bytes32[] memory records = new bytes32[](2);
        records[0] = _register("dear", 3000);
        records[1] = _register("cheap", 1);
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesStackTooHigh.selector, 3001, 3000));
        royalties.requirePayable(records);
        vm.prank(owner);
        provenance.lowerRoyalty(records[1], 0);
        royalties.requirePayable(records);
    }

    // ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────

    function test_claim_pays_the_present_owner_of_every_part_once() public {
        _pay(100 ether, _records(1));
        assertEq(royalties.claimable(child, lineage, 0), 2.5 ether);
        vm.expectEmit(address(royalties));
        emit IRoyalties.RoyaltyClaimed(child, parent, payee, 2.5 ether);
        vm.prank(stranger);
        royalties.claim(child, lineage, 0);
        assertEq(vault.freeOf(payee), 2.5 ether);
        uint96 before = vault.freeOf(owner);
        royalties.claim(child, lineage, 1);
        assertEq(vault.freeOf(owner), before + 7.5 ether);
        for (uint256 index = 0; index < 2; ++index) {
            _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesNothingToClaim.selector, child, index));
            royalties.claim(child, lineage, index);
        }
        _pay(100 ether, _records(1));
        royalties.claim(child, lineage, 0);
        assertEq(vault.freeOf(payee), 5 ether);
    }

    function test_claim_refuses_other_ancestors_than_registered() public {
        _pay(100 ether, _records(1));
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesAncestorsMismatch.selector, child));
        royalties.claim(child, none, 0);
        IProvenance.Share[] memory richer = new IProvenance.Share[](1);
        richer[0] = IProvenance.Share(parent, 5000);
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesAncestorsMismatch.selector, child));
        royalties.claim(child, richer, 0);
    }

    function test_claim_refuses_an_index_behind_the_record_itself() public {
        _expect(abi.encodeWithSelector(IRoyalties.RoyaltiesIndexOutOfRange.selector, 2, 1));
        royalties.claim(child, lineage, 2);
    }

    function test_claim_waits_for_payout() public {
        _pay(100 ether, _records(1));
        _trip(PAYOUT, 12 hours);
        uint40 until = vault.halts().payoutUntil;
        bytes memory refused = abi.encodeWithSelector(IHaltable.HaltableFlowHalted.selector, PAYOUT, until);
        _expect(refused);
        royalties.claim(child, lineage, 0);
        _expect(refused);
        royalties.claimMany(new IRoyalties.Claim[](0));
        vm.warp(until);
        royalties.claim(child, lineage, 0);
    }

    function test_claim_many_passes_over_what_somebody_claimed_first() public {
        _pay(100 ether, _records(1));
        IRoyalties.Claim[] memory claims = new IRoyalties.Claim[](3);
        claims[0] = IRoyalties.Claim(child, lineage, 0);
        claims[1] = IRoyalties.Claim(child, lineage, 1);
        claims[2] = IRoyalties.Claim(child, lineage, 1);
        royalties.claim(child, lineage, 0);
        uint96 before = vault.freeOf(owner);
        royalties.claimMany(claims);
        assertEq(vault.freeOf(payee), 2.5 ether);
        assertEq(vault.freeOf(owner), before + 7.5 ether);
        assertEq(vault.heldBy(address(royalties)), 0);
    }

    /// ROYALTY-2: what is taken never exceeds what accrued, and what stays behind is dust.
    function testFuzz_claims_leave_at_most_dust(uint96[6] memory prices) public {
        for (uint256 i = 0; i < 6; ++i) {
            _pay(uint96(_within(prices[i], 10_000, 100 ether)), _records(1));
            royalties.claim(child, lineage, i % 2);
        }
        IRoyalties.Claim[] memory claims = new IRoyalties.Claim[](2);
        claims[0] = IRoyalties.Claim(child, lineage, 0);
        claims[1] = IRoyalties.Claim(child, lineage, 1);
        royalties.claimMany(claims);
        assertLe(vault.heldBy(address(royalties)), 8);
    }

    // ── outside view and parameters ──────────────────────────────────────────────────────────────────────────────────

    function test_royalty_info_names_the_owner() public view {
        (address to, uint256 amount) = royalties.royaltyInfo(uint256(parent), 12_345);
        assertEq(to, payee);
        assertEq(amount, 123);
        assertTrue(royalties.supportsInterface(type(IERC2981).interfaceId));
        assertTrue(royalties.supportsInterface(0x01ffc9a7));
        assertFalse(royalties.supportsInterface(0xffffffff));
    }

    function test_fee_moves_within_its_bounds() public {
        bytes32 key = "feeBps";
        vm.startPrank(governance);
        vm.expectEmit(address(royalties));
        emit IGoverned.ParameterChanged(key, FEE_BPS, 500);
        royalties.setFeeBps(500);
        royalties.setFeeBps(0);
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueAboveMax.selector, key, 501, 500));
        royalties.setFeeBps(501);
        vm.stopPrank();
        assertEq(royalties.feeBps(), 0);
        _expect(abi.encodeWithSelector(IGoverned.GovernedNotGovernance.selector, stranger));
        vm.prank(stranger);
        royalties.setFeeBps(1);
    }

    function test_deploy_refuses_a_stack_above_half() public {
        _expect(abi.encodeWithSelector(IGoverned.GovernedValueAboveMax.selector, bytes32("stackMaxBps"), 5001, 5000));
        new Royalties(vault, provenance, escrow, escrow, escrow, governance, killSwitch, 0, 5001);
    }
}

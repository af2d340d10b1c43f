// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {HaltableTarget, WordKeeper} from "../../../contracts/mocks/WordKeeper.sol";
import {IHaltable} from "../../../contracts/safety/IHaltable.sol";
import {MoneyWorld} from "./MoneyWorld.sol";

contract HaltableTest is MoneyWorld {
    HaltableTarget private target;

    function setUp() public {
        vm.warp(START);
        target = new HaltableTarget(killSwitch);
    }

    function _set(uint8 flow, uint40 duration) private {
        IHaltable.Halts memory word = _tripped(target.halts(), flow, duration);
        vm.prank(killSwitch);
        assertTrue(target.setHalts(word));
    }

    function _expectHalted(uint8 flow, uint40 until) private {
        assertTrue(target.isFlowHalted(flow));
        _expect(abi.encodeWithSelector(IHaltable.HaltableFlowHalted.selector, flow, until));
        target.act(flow);
    }

    function test_fresh_contract_flows_and_its_clock_is_the_wall_clock() public view {
        assertEq(target.activeTime(), START);
        for (uint8 flow = INTAKE; flow <= ADMIN; ++flow) {
            assertTrue(target.act(flow));
            assertFalse(target.isFlowHalted(flow));
        }
    }

    function test_set_refuses_anybody_but_the_kill_switch() public {
        IHaltable.Halts memory word;
        _expect(abi.encodeWithSelector(IHaltable.HaltableNotKillSwitch.selector, stranger));
        vm.prank(stranger);
        target.setHalts(word);
    }

    function test_set_refuses_everybody_when_there_is_no_kill_switch() public {
        HaltableTarget free = new HaltableTarget(address(0));
        IHaltable.Halts memory word;
        _expect(abi.encodeWithSelector(IHaltable.HaltableNotKillSwitch.selector, killSwitch));
        vm.prank(killSwitch);
        free.setHalts(word);
    }

    function test_flow_that_does_not_exist_is_refused() public {
        _expect(abi.encodeWithSelector(IHaltable.HaltableFlowUnknown.selector, uint8(0)));
        target.act(0);
        _expect(abi.encodeWithSelector(IHaltable.HaltableFlowUnknown.selector, uint8(4)));
        target.isFlowHalted(4);
    }

    function test_halt_of_one_flow_ends_to_the_second() public {
        for (uint8 flow = INTAKE; flow <= ADMIN; ++flow) {
            uint256 snapshot = vm.snapshotState();
            _set(flow, 12 hours);
            _expectHalted(flow, START + 12 hours);
            vm.warp(START + 12 hours - 1);
            _expectHalted(flow, START + 12 hours);
            vm.warp(START + 12 hours);
            assertTrue(target.act(flow));
            vm.revertToState(snapshot);
        }
    }

    function test_payout_halts_intake_too_and_others_halt_alone() public {
        _set(PAYOUT, 1 hours);
        _expectHalted(INTAKE, START + 1 hours);
        assertTrue(target.act(ADMIN));
        vm.warp(START + 1 hours);
        _set(INTAKE, 1 hours);
        assertTrue(target.act(PAYOUT));
        assertTrue(target.act(ADMIN));
    }

    function test_clock_stands_still_exactly_while_payout_is_halted() public {
        vm.warp(START + 100);
        _set(INTAKE, 50);
        _set(ADMIN, 50);
        vm.warp(START + 200);
        assertEq(target.activeTime(), START + 200);
        _set(PAYOUT, 1000);
        assertEq(target.activeTime(), START + 200);
        vm.warp(START + 1200);
        assertEq(target.activeTime(), START + 200);
        vm.warp(START + 1201);
        assertEq(target.activeTime(), START + 201);
        _set(PAYOUT, 10);
        vm.warp(START + 5000);
        assertEq(target.activeTime(), START + 5000 - 1010);
    }

    /// A later contract does not run ahead of the clock of those before it.
    function test_deploy_copies_the_word_of_a_kill_switch_that_has_code() public {
        WordKeeper keeper = new WordKeeper();
        IHaltable.Halts memory word;
        word = _tripped(word, PAYOUT, 1000);
        keeper.set(word);
        vm.warp(START + 400);
        HaltableTarget first = new HaltableTarget(address(keeper));
        assertEq(first.activeTime(), START);
        assertTrue(keeper.push(first));
        vm.warp(START + 3000);
        keeper.set(_tripped(word, PAYOUT, 500));
        assertTrue(keeper.push(first));
        vm.warp(START + 9000);
        HaltableTarget second = new HaltableTarget(address(keeper));
        assertEq(second.activeTime(), START + 9000 - 1500);
        assertEq(second.activeTime(), first.activeTime());
    }

    /// HALT-5 over any sequence of trips and waits.
    function testFuzz_clock_is_monotone_and_never_ahead(uint256 seed) public {
        uint40 previous = target.activeTime();
        for (uint256 i = 0; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint8 flow = uint8(1 + seed % 3);
            if (seed & 8 == 0) {
                _set(flow, uint40(seed >> 32) % 3 days);
            }
            bool wasHalted = target.isFlowHalted(PAYOUT);
            uint40 until = target.halts().payoutUntil;
            uint40 before = uint40(vm.getBlockTimestamp());
            uint40 step = uint40(seed >> 96) % 2 days;
            vm.warp(before + step);
            uint40 present = target.activeTime();
            uint40 standing = wasHalted ? (before + step < until ? step : until - before) : 0;
            assertEq(present, previous + step - standing);
            assertLe(present, before + step);
            previous = present;
        }
    }
}

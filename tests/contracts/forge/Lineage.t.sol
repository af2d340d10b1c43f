// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProvenance} from "../../../contracts/registry/IProvenance.sol";
import {Lineage} from "../../../contracts/registry/Lineage.sol";
import {ForgeTest} from "./Vm.sol";

contract LineageTest is ForgeTest {
    function flatten(IProvenance.Parent[] calldata parents) external pure returns (IProvenance.Share[] memory) {
        return Lineage.flatten(parents);
    }

    function _id(uint256 number) private pure returns (bytes32) {
        return bytes32(number);
    }

    /// A parent with ancestors `first`, `first + 1`, … of `bps` each.
    function _parent(uint256 record, uint16 shareBps, uint256 first, uint256 count, uint16 bps)
        private
        pure
        returns (IProvenance.Parent memory parent)
    {
        parent = IProvenance.Parent(_id(record), shareBps, new IProvenance.Share[](count));
        for (uint256 i = 0; i < count; ++i) {
            parent.lineage[i] = IProvenance.Share(_id(first + i), bps);
        }
    }

    function _assertShare(IProvenance.Share memory share, uint256 record, uint256 bps) private pure {
        assertEq(share.record, _id(record));
        assertEq(share.bps, bps);
    }

    function test_flatten_of_nothing_is_nothing_and_hashes_to_zero() public view {
        IProvenance.Share[] memory list = this.flatten(new IProvenance.Parent[](0));
        assertEq(list.length, 0);
        assertEq(Lineage.hash(list), bytes32(0));
    }

    function test_flatten_gives_grandparents_the_floor_and_the_parent_the_rest() public view {
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](1);
        parents[0] = _parent(1, 999, 10, 2, 333);
        IProvenance.Share[] memory list = this.flatten(parents);
        assertEq(list.length, 3);
        _assertShare(list[0], 1, 999 - 33 - 33);
        _assertShare(list[1], 10, 33);
        _assertShare(list[2], 11, 33);
    }

    function test_flatten_adds_up_equal_ids_in_order_of_first_appearance() public view {
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](3);
        parents[0] = _parent(1, 1000, 3, 1, 1000);
        parents[1] = _parent(2, 1000, 3, 1, 2000);
        parents[2] = _parent(3, 500, 0, 0, 0);
        IProvenance.Share[] memory list = this.flatten(parents);
        assertEq(list.length, 3);
        _assertShare(list[0], 1, 900);
        _assertShare(list[1], 3, 100 + 200 + 500);
        _assertShare(list[2], 2, 800);
    }

    function test_flatten_drops_the_smallest_and_the_later_on_a_tie_to_its_parent() public view {
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](2);
        parents[0] = _parent(1, 1000, 10, 4, 1000);
        parents[1] = _parent(2, 2000, 20, 4, 500);
        // Ten entries of which 10…13 and 20…23 have 100 each: 23 goes, then 22, both to parent 2.
        IProvenance.Share[] memory list = this.flatten(parents);
        assertEq(list.length, 8);
        _assertShare(list[0], 1, 600);
        _assertShare(list[4], 13, 100);
        _assertShare(list[5], 2, 1600 + 200);
        _assertShare(list[7], 21, 100);
    }

    /// The attack: a dummy parent whose lineage names the same grandparents as the real one. What is dropped returns to
    /// each parent in the measure it came through it, so the dummy keeps only its own share.
    function test_flatten_returns_every_part_to_the_parent_it_came_through() public view {
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](2);
        parents[0] = _parent(1, 100, 10, 8, 100);
        parents[1] = _parent(2, 1000, 10, 8, 1000);
        // Eight grandparents with 1 + 100 each; two of them must go.
        IProvenance.Share[] memory list = this.flatten(parents);
        assertEq(list.length, 8);
        _assertShare(list[0], 1, 92 + 2);
        _assertShare(list[7], 2, 200 + 200);
    }

    function test_flatten_never_drops_a_parent() public view {
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](8);
        for (uint256 p = 0; p < 8; ++p) {
            parents[p] = _parent(p + 1, 0, 100 + 8 * p, 8, 1000);
        }
        parents[3].shareBps = 5000;
        IProvenance.Share[] memory list = this.flatten(parents);
        assertEq(list.length, 8);
        for (uint256 p = 0; p < 8; ++p) {
            _assertShare(list[p], p + 1, p == 3 ? 5000 : 0);
        }
    }

    /// RECORD-2: at most eight, no id twice, the sum is what was given.
    function testFuzz_flatten_preserves_the_sum(uint256 seed) public view {
        uint256 count = 1 + seed % 8;
        IProvenance.Parent[] memory parents = new IProvenance.Parent[](count);
        uint256 given = 0;
        for (uint256 p = 0; p < count; ++p) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint16 share = uint16(seed % (10_000 / count + 1));
            uint256 lineage = (seed >> 32) % 9;
            // Few ids, so that parents and lineages overlap.
            parents[p] = _parent(p + 1, share, 1 + (seed >> 64) % 24, lineage, uint16((seed >> 96) % 1251));
            given += share;
        }
        IProvenance.Share[] memory list = this.flatten(parents);
        assertLe(list.length, 8);
        uint256 sum = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            sum += list[i].bps;
            for (uint256 j = 0; j < i; ++j) {
                assertTrue(list[i].record != list[j].record);
            }
        }
        assertEq(sum, given);
    }
}

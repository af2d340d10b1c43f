// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProvenance} from "./IProvenance.sol";

/// @title Lineage
/// @notice Flattens the ancestors of direct ancestors into one list of at most eight (mirror
/// `rules/registry/lineage.py`).
/// @dev Rules, in this order:
/// - A parent with share s and lineage (a, x) gives a ⌊s · x / 10,000⌋ and keeps the rest.
/// - The list has the order of first appearance: each parent, then its lineage, then the next parent. Equal ids add up.
/// - While it is longer than eight, the entry with the smallest share that is no parent, the later one on a tie, is
///   dropped, and every part of it goes back to the parent that the part came through. Back to the parent, never to the
///   registrant: dummy parents gain nothing by pushing out grandparents. Each part to its own: a dummy that names the
///   same grandparent gains nothing either.
/// The sum of all shares is what the parents were given.
library Lineage {
    // ── types ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev `parts[k][p]` is what entry k got through parent p; only entries that are no parents are ever dropped.
    struct Builder {
        bytes32[] records;
        uint256[] shares;
        bool[] isParent;
        uint256[][] parts;
        uint256[] entryOfParent;
        uint256 length;
    }

    // ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────

    uint256 internal constant MAX_ANCESTORS = 8;
    uint256 private constant ONE = 10_000;

    // ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// @dev The caller has checked that there are at most eight parents and that each lineage is a registered one.
    function flatten(IProvenance.Parent[] calldata parents) internal pure returns (IProvenance.Share[] memory) {
        Builder memory b = _builder(parents);
        for (uint256 p = 0; p < parents.length; ++p) {
            _addParent(b, parents[p], p);
        }
        while (b.length > MAX_ANCESTORS) {
            _drop(b, _smallest(b));
        }
        return _list(b);
    }

    /// @dev The hash under which a list is registered; nothing for nothing, which saves a slot.
    function hash(IProvenance.Share[] memory shares) internal pure returns (bytes32) {
        return shares.length == 0 ? bytes32(0) : keccak256(abi.encode(shares));
    }

    // ── private ──────────────────────────────────────────────────────────────────────────────────────────────────────

    function _builder(IProvenance.Parent[] calldata parents) private pure returns (Builder memory b) {
        uint256 most = parents.length;
        for (uint256 p = 0; p < parents.length; ++p) {
            most += parents[p].lineage.length;
        }
        b.records = new bytes32[](most);
        b.shares = new uint256[](most);
        b.isParent = new bool[](most);
        b.parts = new uint256[][](most);
        b.entryOfParent = new uint256[](parents.length);
    }

    function _addParent(Builder memory b, IProvenance.Parent calldata parent, uint256 p) private pure {
        uint256 own = _entry(b, parent.record);
        b.isParent[own] = true;
        b.entryOfParent[p] = own;
        uint256 kept = parent.shareBps;
        for (uint256 i = 0; i < parent.lineage.length; ++i) {
            uint256 part = uint256(parent.shareBps) * parent.lineage[i].bps / ONE;
            uint256 entry = _entry(b, parent.lineage[i].record);
            b.shares[entry] += part;
            b.parts[entry][p] += part;
            kept -= part;
        }
        b.shares[own] += kept;
    }

    function _entry(Builder memory b, bytes32 record) private pure returns (uint256 entry) {
        for (entry = 0; entry < b.length; ++entry) {
            if (b.records[entry] == record) {
                return entry;
            }
        }
        b.records[entry] = record;
        b.parts[entry] = new uint256[](b.entryOfParent.length);
        b.length = entry + 1;
    }

    function _smallest(Builder memory b) private pure returns (uint256 smallest) {
        uint256 least = type(uint256).max;
        for (uint256 entry = 0; entry < b.length; ++entry) {
            if (!b.isParent[entry] && b.shares[entry] <= least) {
                least = b.shares[entry];
                smallest = entry;
            }
        }
    }

    function _drop(Builder memory b, uint256 dropped) private pure {
        for (uint256 p = 0; p < b.entryOfParent.length; ++p) {
            b.shares[b.entryOfParent[p]] += b.parts[dropped][p];
        }
        for (uint256 entry = dropped + 1; entry < b.length; ++entry) {
            b.records[entry - 1] = b.records[entry];
            b.shares[entry - 1] = b.shares[entry];
            b.isParent[entry - 1] = b.isParent[entry];
            b.parts[entry - 1] = b.parts[entry];
        }
        for (uint256 p = 0; p < b.entryOfParent.length; ++p) {
            if (b.entryOfParent[p] > dropped) {
                --b.entryOfParent[p];
            }
        }
        --b.length;
    }

    function _list(Builder memory b) private pure returns (IProvenance.Share[] memory list) {
        list = new IProvenance.Share[](b.length);
        for (uint256 entry = 0; entry < b.length; ++entry) {
            // Shares never exceed the sum of what the parents were given, which the caller bounds by 10,000.
            list[entry] = IProvenance.Share(b.records[entry], uint16(b.shares[entry]));
        }
    }
}

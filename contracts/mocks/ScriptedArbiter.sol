// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IArbiter} from "../market/IArbiter.sol";

/// @title ScriptedArbiter
/// @notice Test-only. Rules as it is told, and keeps what it was asked.
contract ScriptedArbiter is IArbiter {
    struct Ruling {
        Outcome outcome;
        uint16 shareBps;
    }

    mapping(bytes32 disputeId => Ruling) private _rulings;
    mapping(bytes32 disputeId => bytes32 evidence) public evidenceOf;
    bytes32 public lastOpened;
    bytes32 public lastConceded;

    function rule(bytes32 disputeId, Outcome outcome, uint16 shareBps) external {
        _rulings[disputeId] = Ruling(outcome, shareBps);
    }

    function open(DisputeTerms calldata terms, bytes32 evidence) external returns (bytes32 disputeId) {
        disputeId = keccak256(abi.encode(terms));
        evidenceOf[disputeId] = evidence;
        lastOpened = disputeId;
    }

    function concede(DisputeTerms calldata terms) external {
        lastConceded = keccak256(abi.encode(terms));
        _rulings[lastConceded] = Ruling(Outcome.CLAIMANT, 0);
    }

    function outcomeOf(bytes32 disputeId) external view returns (Outcome, uint16) {
        Ruling storage ruling = _rulings[disputeId];
        return (ruling.outcome, ruling.shareBps);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAttestationHub} from "../oracle/IAttestationHub.sol";
import {IEscrow} from "./IEscrow.sol";

/// @title Assignments
/// @notice Hashes of what is signed about a task, and the attestation that an assignment allows.
library Assignments {
    bytes32 internal constant ASSIGNMENT_TYPEHASH = keccak256(
        "Assignment(bytes32 jobId,address operator,address payee,bytes32[] records,bytes32 circuitId,"
        "bytes32 inputHash,bytes32 spec,uint96 price,uint96 atRisk,uint8 tier,uint8 verdictClass,"
        "uint32 deliverWithin,uint32 window,uint16 startedBps,uint40 quoteUntil,uint256 salt)"
    );
    bytes32 internal constant AGREEMENT_TYPEHASH =
        keccak256("Agreement(bytes32 taskId,uint96 toPayee,uint40 validUntil)");
    bytes32 internal constant DECLINE_TYPEHASH = keccak256("Decline(bytes32 taskId,uint8 code)");

    /// @notice The EIP-712 struct hash, which is the task's id.
    function hash(IEscrow.Assignment calldata a) internal pure returns (bytes32) {
        // In two parts, since one call of abi.encode cannot hold seventeen words on the stack.
        bytes memory first = abi.encode(
            ASSIGNMENT_TYPEHASH,
            a.jobId,
            a.operator,
            a.payee,
            keccak256(abi.encodePacked(a.records)),
            a.circuitId,
            a.inputHash,
            a.spec
        );
        bytes memory second = abi.encode(
            a.price, a.atRisk, a.tier, a.verdictClass, a.deliverWithin, a.window, a.startedBps, a.quoteUntil, a.salt
        );
        return keccak256(bytes.concat(first, second));
    }

    function hashAgreement(bytes32 taskId, uint96 toPayee, uint40 validUntil) internal pure returns (bytes32) {
        return keccak256(abi.encode(AGREEMENT_TYPEHASH, taskId, toPayee, validUntil));
    }

    function hashDecline(bytes32 taskId, uint8 code) internal pure returns (bytes32) {
        return keccak256(abi.encode(DECLINE_TYPEHASH, taskId, code));
    }

    /// @notice What both sides call the request that a proof is bound to.
    function request(IEscrow.Assignment calldata a) internal pure returns (bytes32) {
        return keccak256(abi.encode(a.jobId, a.salt));
    }

    /// @notice The one attestation that fits assignment and result.
    function attestation(IEscrow.Assignment calldata a, bytes32 taskId, IEscrow.Result calldata result)
        internal
        pure
        returns (IAttestationHub.Attestation memory)
    {
        return IAttestationHub.Attestation({
            taskId: taskId,
            request: request(a),
            modelId: a.records.length == 0 ? bytes32(0) : a.records[0],
            circuitId: a.circuitId,
            inputHash: a.inputHash,
            outputHash: result.outputHash,
            result: result.result,
            execution: result.execution,
            tier: a.tier,
            verdictClass: a.verdictClass,
            operator: a.operator,
            atRisk: a.atRisk,
            window: a.window,
            signedAt: result.signedAt
        });
    }
}

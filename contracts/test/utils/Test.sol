// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CodebookHead, Head, Status} from "../../src/CodebookHead.sol";
import {PrototypeBuffer} from "../../src/PrototypeBuffer.sol";

/// @title The cheatcodes of forge that these tests use.
/// @dev Declared here because the usual test library is no npm package of its authors.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function roll(uint256 blockNumber) external;
    function warp(uint256 timestamp) external;
    function deal(address account, uint256 balance) external;
    function assume(bool condition) external pure;
    function expectRevert(bytes calldata revertData) external;
    function expectRevert(bytes4 selector) external;
    function expectPartialRevert(bytes4 selector) external;
    function pauseGasMetering() external;
    function resumeGasMetering() external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data, address emitter) external;
    function addr(uint256 privateKey) external pure returns (address);
    function sign(uint256 privateKey, bytes32 digest)
        external
        pure
        returns (uint8 v, bytes32 r, bytes32 s);
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function assertEq(uint256 left, uint256 right) external pure;
    function assertEq(int256 left, int256 right) external pure;
    function assertEq(bytes32 left, bytes32 right) external pure;
    function assertEq(address left, address right) external pure;
    function assertEq(bytes calldata left, bytes calldata right) external pure;
    function assertTrue(bool condition) external pure;
    function assertFalse(bool condition) external pure;
    function assertLe(uint256 left, uint256 right) external pure;
    function assertGe(uint256 left, uint256 right) external pure;
}

/// @title Base of the tests: the cheatcodes, and records of the buffer's format.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }

    /// @dev The head that a commit of `owner` on its newest version must offer.
    function nextHead(PrototypeBuffer buffer, address owner, bytes25 hash, uint256 count)
        internal
        view
        returns (Head)
    {
        PrototypeBuffer.Standing memory now_ = buffer.standing(owner);
        return CodebookHead.make(hash, uint256(now_.version) + 1, count, now_.epoch, Status.Active);
    }

    function record(uint16 id, uint8 class, uint16 weight, uint256 features, uint256 seed)
        internal
        pure
        returns (bytes memory encoded)
    {
        encoded = abi.encodePacked(id, class, weight);
        for (uint256 i = 0; i < features; ++i) {
            uint16 feature = uint16(uint256(keccak256(abi.encode(id, i, seed))));
            encoded = abi.encodePacked(encoded, feature == 0x8000 ? 0 : feature);
        }
    }

    /// @dev Records with ids 0, step, 2·step … below count·step.
    function records(uint256 count, uint256 step, uint256 features, uint256 seed)
        internal
        pure
        returns (bytes memory encoded)
    {
        for (uint256 i = 0; i < count; ++i) {
            encoded = bytes.concat(
                encoded,
                record(uint16(i * step), uint8(i % 3), uint16(7 * i + seed), features, seed)
            );
        }
    }
}

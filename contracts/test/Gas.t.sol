// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Head} from "../src/CodebookHead.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {Test} from "./utils/Test.sol";

/// @title What `.gas-snapshot` watches: one operation a test, everything else in `setUp`.
/// @dev Figures are of execution, with the test's own overhead; those of whole transactions are
/// measured on a node.
abstract contract GasBase is Test {
    PrototypeBuffer internal buffer;
    uint8 internal features;
    uint16 internal count;
    bytes internal book;
    bytes internal tenth;

    function _lay(uint8 features_, uint16 count_) internal {
        (features, count) = (features_, count_);
        buffer = new PrototypeBuffer(address(this), bytes32(0), features, 3);
        address[] memory one = new address[](1);
        one[0] = address(this);
        buffer.addGateways(one);
        book = records(count, 1, features, 1);
        tenth = records((count + 9) / 10, 1, features, 2);
        buffer.commit(nextHead(buffer, address(this), bytes25(keccak256(book)), count), book);
    }

    function test_Commit() public {
        vm.pauseGasMetering();
        Head next = nextHead(buffer, address(this), bytes25(keccak256(book)), count);
        bytes memory delta = tenth;
        vm.resumeGasMetering();
        buffer.commit(next, delta);
    }

    function test_Checkpoint() public {
        vm.pauseGasMetering();
        bytes memory snapshot = book;
        vm.resumeGasMetering();
        buffer.checkpoint(address(this), snapshot);
    }

    function test_ReadOneRecord() public {
        vm.pauseGasMetering();
        buffer.checkpoint(address(this), book);
        vm.resumeGasMetering();
        buffer.record(address(this), count - 1, 1);
    }
}

contract GasSmall is GasBase {
    function setUp() public {
        _lay(2, 11);
    }
}

contract GasMiddle is GasBase {
    function setUp() public {
        _lay(9, 70);
    }
}

contract GasLarge is GasBase {
    function setUp() public {
        _lay(18, 125);
    }
}

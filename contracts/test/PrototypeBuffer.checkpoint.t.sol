// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CodebookHead, Head, Status} from "../src/CodebookHead.sol";
import {IPrototypeBuffer} from "../src/interfaces/IPrototypeBuffer.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {Test} from "./utils/Test.sol";

contract PrototypeBufferCheckpointTest is Test {
    uint8 private constant FEATURES = 3;
    uint256 private constant RECORD = 5 + 2 * uint256(FEATURES);
    bytes32 private constant SCHEMA = keccak256("schema");

    PrototypeBuffer private buffer;
    address private owner = address(0x0A11);
    address private alice = address(0xA11CE);
    address private bob = address(0xB0B);

    function setUp() public {
        vm.roll(100);
        buffer = new PrototypeBuffer(owner, SCHEMA, FEATURES, 3);
        address[] memory gateways = new address[](2);
        (gateways[0], gateways[1]) = (alice, bob);
        vm.prank(owner);
        buffer.addGateways(gateways);
    }

    function _head(uint256 version, uint256 count, bytes memory book, uint256 epoch)
        private
        pure
        returns (Head)
    {
        return CodebookHead.make(bytes25(keccak256(book)), version, count, epoch, Status.Active);
    }

    function _commit(address sender, uint256 base, bytes memory book) private {
        vm.prank(sender);
        buffer.commit(_head(base + 1, book.length / RECORD, book, 1), book);
    }

    function _revoke(address gateway) private {
        vm.prank(owner);
        buffer.removeGateway(gateway);
    }

    function test_ACheckpointIsReadRecordByRecord() public {
        bytes memory book = bytes.concat(
            abi.encodePacked(uint16(3), uint8(1), uint16(9), int16(-5), int16(12_000), int16(0)),
            abi.encodePacked(
                uint16(65_535), uint8(2), uint16(65_535), int16(-32_767), int16(32_767), int16(1)
            )
        );
        _commit(alice, 0, book);
        vm.roll(120);
        vm.prank(bob); // anybody may
        address store = buffer.checkpoint(alice, book);
        vm.assertEq(store.code, bytes.concat(hex"00", book));
        IPrototypeBuffer.Standing memory standing = buffer.standing(alice);
        vm.assertEq(standing.store, store);
        vm.assertEq(standing.checkpointBlock, 120);
        (IPrototypeBuffer.Age memory age, bytes memory stored) = buffer.snapshot(alice, 1);
        vm.assertEq(age.version, 1);
        vm.assertEq(stored, book);
        IPrototypeBuffer.Record memory found;
        (, found) = buffer.record(alice, 0, 1);
        vm.assertEq(abi.encode(found.id, found.class, found.weight), abi.encode(3, 1, 9));
        int16[] memory q = found.features;
        vm.assertEq(abi.encode(q[0], q[1], q[2]), abi.encode(-5, 12_000, 0));
        (, found) = buffer.record(alice, 1, 1);
        vm.assertEq(abi.encode(found.id, found.class, found.weight), abi.encode(65_535, 2, 65_535));
        q = found.features;
        vm.assertEq(abi.encode(q[0], q[1], q[2]), abi.encode(-32_767, 32_767, 1));

        bytes4 refusal = IPrototypeBuffer.PrototypeBufferIndexOutOfRange.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 2, 2));
        buffer.record(alice, 2, 0);
        refusal = IPrototypeBuffer.PrototypeBufferNoCheckpoint.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, bob));
        buffer.record(bob, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(refusal, bob));
        buffer.snapshot(bob, 0);
    }

    function test_AReaderSeesTheAgeAndRefusesWhatIsStaleOrRemoved() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        _commit(alice, 0, book);
        buffer.checkpoint(alice, book);
        _commit(alice, 1, records(1, 1, FEATURES, 2));
        (IPrototypeBuffer.Age memory age,) = buffer.snapshot(alice, 1);
        vm.assertEq(abi.encode(age), abi.encode(1, 2, Status.Active));
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferStaleCheckpoint.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, 2));
        buffer.snapshot(alice, 2);
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, 2));
        buffer.record(alice, 0, 2);

        vm.prank(owner);
        buffer.pause();
        (age,) = buffer.record(alice, 0, 1);
        vm.assertEq(abi.encode(age), abi.encode(1, 2, Status.Suspended));
        _revoke(alice);
        refusal = IPrototypeBuffer.PrototypeBufferNotAGateway.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, Status.Removed));
        buffer.record(alice, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, Status.Removed));
        buffer.snapshot(alice, 0);
    }

    function test_RevertWhen_ACheckpointIsNotTheState() public {
        bytes memory book = records(3, 1, FEATURES, 1);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferAlreadyCheckpointed.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 0));
        buffer.checkpoint(alice, "");
        _commit(alice, 0, book);
        bytes memory other = records(3, 1, FEATURES, 2);
        refusal = IPrototypeBuffer.PrototypeBufferWrongSnapshot.selector;
        vm.expectRevert(
            abi.encodeWithSelector(refusal, bytes25(keccak256(other)), bytes25(keccak256(book)))
        );
        buffer.checkpoint(alice, other);
        buffer.checkpoint(alice, book);
        refusal = IPrototypeBuffer.PrototypeBufferAlreadyCheckpointed.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        buffer.checkpoint(alice, book);

        vm.prank(bob); // claims another count than it hashes
        buffer.commit(_head(1, 2, book, 1), book);
        refusal = IPrototypeBuffer.PrototypeBufferWrongSnapshotLength.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 3 * RECORD, 2 * RECORD));
        buffer.checkpoint(bob, book);
    }

    function test_RevertWhen_ACheckpointIsNoCodebook() public {
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferMalformedRecord.selector;
        bytes memory first = record(9, 1, 1, FEATURES, 1);
        bytes memory book = bytes.concat(first, record(9, 2, 1, FEATURES, 1)); // an id twice
        _commit(alice, 0, book);
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        buffer.checkpoint(alice, book);
        book = bytes.concat(first, record(8, 2, 1, FEATURES, 1)); // ids fall
        _commit(alice, 1, book);
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        buffer.checkpoint(alice, book);
        book = record(0, 3, 1, FEATURES, 1); // labels are 0, 1, 2
        _commit(alice, 2, book);
        vm.expectRevert(abi.encodeWithSelector(refusal, 0));
        buffer.checkpoint(alice, book);
    }

    function test_AnEmptyCodebookCanBeCheckpointed() public {
        _commit(alice, 0, records(1, 1, FEATURES, 1));
        vm.prank(alice);
        buffer.commit(_head(2, 0, "", 1), hex"0000ff");
        buffer.checkpoint(alice, "");
        (IPrototypeBuffer.Age memory age, bytes memory stored) = buffer.snapshot(alice, 2);
        vm.assertEq(age.version, 2);
        vm.assertEq(stored.length, 0);
    }

    function testFuzz_ACheckpointIsTheState(uint8 count, uint256 seed, uint256 index) public {
        uint256 size = bound(count, 1, 40);
        bytes memory book = records(size, 3, FEATURES, bound(seed, 0, 60_000));
        _commit(alice, 0, book);
        buffer.checkpoint(alice, book);
        (, bytes memory stored) = buffer.snapshot(alice, 1);
        vm.assertEq(keccak256(stored), keccak256(book));
        index = bound(index, 0, size - 1);
        (, IPrototypeBuffer.Record memory found) = buffer.record(alice, index, 1);
        vm.assertEq(found.id, index * 3);
        vm.assertEq(found.features.length, FEATURES);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {IPrototypeBuffer} from "../src/interfaces/IPrototypeBuffer.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {RecordStore} from "../src/RecordStore.sol";
import {Test} from "./utils/Test.sol";

contract FixedOracle {
    uint64 public latestRound = 5;
}

contract PrototypeBufferTest is Test {
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

    function _commit(address sender, uint32 base, bytes memory book) private {
        vm.prank(sender);
        buffer.commit(base, uint16(book.length / RECORD), keccak256(book), book);
    }

    function test_ADeploymentFixesItsTerms() public view {
        vm.assertEq(buffer.schemaHash(), SCHEMA);
        vm.assertEq(buffer.features(), FEATURES);
        vm.assertEq(buffer.labels(), 3);
        vm.assertEq(buffer.maxRecords(), RecordStore.MAX_BYTES / RECORD);
        vm.assertEq(buffer.deployedBlock(), 100);
        vm.assertEq(buffer.owner(), owner);
    }

    function test_RevertWhen_TheSchemaIsEmpty() public {
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferBadSchema.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 0, 2));
        new PrototypeBuffer(owner, SCHEMA, 0, 2);
        vm.expectRevert(abi.encodeWithSelector(refusal, 2, 0));
        new PrototypeBuffer(owner, SCHEMA, 2, 0);
    }

    function test_ACommitWritesHeadAndHashAndTellsTheDelta() public {
        bytes memory book = records(4, 2, FEATURES, 1);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.Delta(alice, 1, 4, keccak256(book), book);
        _commit(alice, 0, book);
        vm.roll(107);
        bytes memory next = records(5, 2, FEATURES, 2);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.Delta(alice, 2, 5, keccak256(next), next);
        _commit(alice, 1, next);

        (IPrototypeBuffer.Head memory head, bytes32 stateHash) = buffer.head(alice);
        vm.assertEq(head.version, 2);
        vm.assertEq(head.count, 5);
        vm.assertEq(head.commitBlock, 107);
        vm.assertEq(head.checkpointVersion, 0);
        vm.assertTrue(head.status == IPrototypeBuffer.Status.Active);
        vm.assertEq(stateHash, keccak256(next));
        (head, stateHash) = buffer.head(bob);
        vm.assertEq(head.version, 0);
        vm.assertEq(stateHash, keccak256(""));
        (, stateHash) = buffer.head(address(0xdead));
        vm.assertEq(stateHash, bytes32(0));
    }

    function test_RevertWhen_TheBaseIsStaleOrFromTheFuture() public {
        _commit(alice, 0, records(1, 1, FEATURES, 1));
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferStaleVersion.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        _commit(alice, 0, records(1, 1, FEATURES, 1));
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        _commit(alice, 2, records(1, 1, FEATURES, 1));
        _commit(bob, 0, records(1, 1, FEATURES, 1)); // gateways do not contend
    }

    function test_RevertWhen_TheSenderIsNoGateway() public {
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferNotAGateway.selector;
        vm.expectRevert(
            abi.encodeWithSelector(refusal, address(this), IPrototypeBuffer.Status.Unknown)
        );
        buffer.commit(0, 1, bytes32(0), hex"00");
        vm.prank(owner);
        buffer.removeGateway(alice);
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, IPrototypeBuffer.Status.Removed));
        _commit(alice, 0, records(1, 1, FEATURES, 1));
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, IPrototypeBuffer.Status.Removed));
        vm.prank(owner);
        buffer.removeGateway(alice);
    }

    function test_RevertWhen_ALimitIsPassed() public {
        uint256 most = buffer.maxRecords();
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferTooManyRecords.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, most + 1, most));
        vm.prank(alice);
        buffer.commit(0, uint16(most + 1), bytes32(0), hex"00");

        uint256 longest = buffer.MAX_DELTA_BYTES();
        refusal = IPrototypeBuffer.PrototypeBufferDeltaTooLong.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, longest + 1, longest));
        vm.prank(alice);
        buffer.commit(0, 1, bytes32(0), new bytes(longest + 1));

        vm.expectRevert(IPrototypeBuffer.PrototypeBufferEmptyDelta.selector);
        vm.prank(alice);
        buffer.commit(0, 1, bytes32(0), "");

        refusal = IPrototypeBuffer.PrototypeBufferTooManyGateways.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 257, 256));
        vm.prank(owner);
        buffer.addGateways(new address[](257));
    }

    function test_ARemovedGatewayStaysReadableAndMarkedAndMayReturn() public {
        bytes memory book = records(2, 1, FEATURES, 1);
        _commit(alice, 0, book);
        buffer.checkpoint(alice, book);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.GatewayRemoved(alice);
        vm.prank(owner);
        buffer.removeGateway(alice);
        (IPrototypeBuffer.Head memory head, bytes32 stateHash) = buffer.head(alice);
        vm.assertTrue(head.status == IPrototypeBuffer.Status.Removed);
        vm.assertEq(stateHash, keccak256(book));
        (, bytes memory stored) = buffer.snapshot(alice);
        vm.assertEq(stored, book);

        address[] memory again = new address[](1);
        again[0] = alice;
        vm.prank(owner);
        buffer.addGateways(again);
        _commit(alice, 1, records(3, 1, FEATURES, 1));
    }

    function test_RevertWhen_SomebodyElseGoverns() public {
        bytes memory refusal =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(refusal);
        buffer.addGateways(new address[](1));
        vm.expectRevert(refusal);
        buffer.removeGateway(bob);
        vm.expectRevert(refusal);
        buffer.setOracle(alice);
        vm.expectRevert(refusal);
        buffer.pause();
        vm.expectRevert(refusal);
        buffer.unpause();
        vm.expectRevert(refusal);
        buffer.transferOwnership(alice);
        vm.stopPrank();
    }

    function test_OwnershipMovesInTwoSteps() public {
        vm.prank(owner);
        buffer.transferOwnership(bob);
        vm.assertEq(buffer.owner(), owner);
        vm.prank(bob);
        buffer.acceptOwnership();
        vm.assertEq(buffer.owner(), bob);
    }

    function test_RevertWhen_Paused() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        _commit(alice, 0, book);
        vm.prank(owner);
        buffer.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _commit(alice, 1, book);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        buffer.checkpoint(alice, book);
        vm.prank(owner);
        buffer.removeGateway(alice); // an owner must be able to act while it is paused
        vm.prank(owner);
        buffer.unpause();
        _commit(bob, 0, book);
    }

    function test_ACommitMayCiteTheOraclesRounds() public {
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferUnknownOracleRound.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, 0));
        vm.prank(alice);
        buffer.commit(0, 1, bytes32(0), hex"00", 1);

        address oracle = address(new FixedOracle());
        vm.prank(owner);
        buffer.setOracle(oracle);
        vm.assertEq(buffer.oracle(), oracle);
        vm.expectRevert(abi.encodeWithSelector(refusal, 6, 5));
        vm.prank(alice);
        buffer.commit(0, 1, bytes32(0), hex"00", 6);

        vm.startPrank(alice);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.Cited(alice, 1, 5);
        buffer.commit(0, 1, bytes32(0), hex"00", 5);
        buffer.commit(1, 1, bytes32(0), hex"00", 3); // an older one is told, the newest kept
        vm.stopPrank();
        (IPrototypeBuffer.Head memory head,) = buffer.head(alice);
        vm.assertEq(head.oracleRound, 5);
    }

    function test_ACheckpointIsReadRecordByRecord() public {
        bytes memory book = bytes.concat(
            abi.encodePacked(uint16(3), uint8(1), uint16(9), int16(-5), int16(12_000), int16(0)),
            abi.encodePacked(
                uint16(65_535), uint8(2), uint16(65_535), int16(-32_767), int16(32_767), int16(1)
            )
        );
        _commit(alice, 0, book);
        vm.prank(bob); // anybody may
        address store = buffer.checkpoint(alice, book);
        vm.assertEq(store.code, bytes.concat(hex"00", book));
        (uint32 version, bytes memory stored) = buffer.snapshot(alice);
        vm.assertEq(version, 1);
        vm.assertEq(stored, book);
        (uint16 id, uint8 class, uint16 weight, int16[] memory q) = buffer.record(alice, 0);
        vm.assertEq(abi.encode(id, class, weight), abi.encode(3, 1, 9));
        vm.assertEq(abi.encode(q[0], q[1], q[2]), abi.encode(-5, 12_000, 0));
        (id, class, weight, q) = buffer.record(alice, 1);
        vm.assertEq(abi.encode(id, class, weight), abi.encode(65_535, 2, 65_535));
        vm.assertEq(abi.encode(q[0], q[1], q[2]), abi.encode(-32_767, 32_767, 1));

        bytes4 refusal = IPrototypeBuffer.PrototypeBufferIndexOutOfRange.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 2, 2));
        buffer.record(alice, 2);
        refusal = IPrototypeBuffer.PrototypeBufferNoCheckpoint.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, bob));
        buffer.record(bob, 0);
        vm.expectRevert(abi.encodeWithSelector(refusal, bob));
        buffer.snapshot(bob);
        // A later commit leaves the older checkpoint readable, and its version tells.
        _commit(alice, 1, records(1, 1, FEATURES, 2));
        (version,) = buffer.snapshot(alice);
        vm.assertEq(version, 1);
    }

    function test_RevertWhen_ACheckpointIsNotTheState() public {
        bytes memory book = records(3, 1, FEATURES, 1);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferAlreadyCheckpointed.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 0));
        buffer.checkpoint(alice, "");
        _commit(alice, 0, book);
        bytes memory other = records(3, 1, FEATURES, 2);
        refusal = IPrototypeBuffer.PrototypeBufferWrongSnapshot.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, keccak256(other), keccak256(book)));
        buffer.checkpoint(alice, other);
        buffer.checkpoint(alice, book);
        refusal = IPrototypeBuffer.PrototypeBufferAlreadyCheckpointed.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1));
        buffer.checkpoint(alice, book);

        vm.prank(bob); // claims another count than it hashes
        buffer.commit(0, 2, keccak256(book), book);
        refusal = IPrototypeBuffer.PrototypeBufferWrongSnapshotLength.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 3 * RECORD, 2 * RECORD));
        buffer.checkpoint(bob, book);
    }

    function test_AnEmptyCodebookCanBeCheckpointed() public {
        _commit(alice, 0, records(1, 1, FEATURES, 1));
        vm.prank(alice);
        buffer.commit(1, 0, keccak256(""), hex"0000ff");
        buffer.checkpoint(alice, "");
        (uint32 version, bytes memory stored) = buffer.snapshot(alice);
        vm.assertEq(version, 2);
        vm.assertEq(stored.length, 0);
    }

    function test_TheBiggestCommitAndCheckpointFitATransaction() public {
        uint256 most = buffer.maxRecords();
        bytes memory book = new bytes(most * RECORD);
        for (uint256 i = 0; i < book.length; ++i) {
            book[i] = 0xaa;
        }
        bytes memory delta = new bytes(buffer.MAX_DELTA_BYTES());
        vm.prank(alice);
        uint256 before = gasleft();
        buffer.commit(0, uint16(most), keccak256(book), delta);
        vm.assertLe(before - gasleft() + 21_000 + 16 * delta.length, 16_777_216);
        before = gasleft();
        buffer.checkpoint(alice, book);
        vm.assertLe(before - gasleft() + 21_000 + 16 * book.length, 16_777_216);
    }

    function testFuzz_AnyBytesAreKeptAsTheyAre(bytes calldata data, uint32 versions) public {
        vm.assume(data.length > 0);
        uint32 last = versions % 4;
        for (uint32 base = 0; base <= last; ++base) {
            vm.recordLogs();
            vm.prank(alice);
            buffer.commit(base, 1, keccak256(data), data);
            (,, bytes memory told) =
                abi.decode(vm.getRecordedLogs()[0].data, (uint16, bytes32, bytes));
            vm.assertEq(told, data);
        }
    }

    function testFuzz_ACheckpointIsTheState(uint8 count, uint256 seed, uint256 index) public {
        uint256 size = bound(count, 1, 40);
        bytes memory book = records(size, 3, FEATURES, bound(seed, 0, 60_000));
        _commit(alice, 0, book);
        buffer.checkpoint(alice, book);
        (, bytes memory stored) = buffer.snapshot(alice);
        vm.assertEq(keccak256(stored), keccak256(book));
        index = bound(index, 0, size - 1);
        (uint16 id,,, int16[] memory q) = buffer.record(alice, index);
        vm.assertEq(id, index * 3);
        vm.assertEq(q.length, FEATURES);
    }
}

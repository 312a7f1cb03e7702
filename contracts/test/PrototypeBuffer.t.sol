// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {CodebookHead, Head, Status} from "../src/CodebookHead.sol";
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

    function _grant(address gateway) private {
        address[] memory one = new address[](1);
        one[0] = gateway;
        vm.prank(owner);
        buffer.addGateways(one);
    }

    function _revoke(address gateway) private {
        vm.prank(owner);
        buffer.removeGateway(gateway);
    }

    function _assertHash(bytes25 found, bytes memory book) private pure {
        vm.assertEq(bytes32(found), bytes32(bytes25(keccak256(book))));
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

    function test_TheLargestCountFitsAHead() public {
        PrototypeBuffer small = new PrototypeBuffer(owner, SCHEMA, 1, 3);
        vm.assertLe(small.maxRecords(), CodebookHead.MAX_COUNT);
    }

    function testFuzz_AHeadKeepsItsFields(
        bytes25 hash,
        uint32 version,
        uint16 count,
        uint16 epoch,
        uint8 status
    ) public pure {
        Head head = CodebookHead.make(hash, version, count % 4096, epoch % 1024, Status(status % 4));
        vm.assertEq(bytes32(head.stateHash()), bytes32(hash));
        vm.assertEq(head.version(), version);
        vm.assertEq(head.count(), count % 4096);
        vm.assertEq(head.epoch(), epoch % 1024);
        vm.assertEq(uint256(head.status()), status % 4);
        head = head.withStatus(Status.Removed);
        vm.assertEq(head.version(), version);
        vm.assertEq(head.epoch(), epoch % 1024);
        vm.assertTrue(head.status() == Status.Removed);
    }

    function test_ACommitWritesTheHeadAndTheDelta() public {
        bytes memory book = records(4, 2, FEATURES, 1);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.Delta(alice, _head(1, 4, book, 1), book);
        _commit(alice, 0, book);
        bytes memory next = records(5, 2, FEATURES, 2);
        _commit(alice, 1, next);

        IPrototypeBuffer.Standing memory standing = buffer.standing(alice);
        vm.assertEq(standing.version, 2);
        vm.assertEq(standing.count, 5);
        vm.assertEq(standing.epoch, 1);
        vm.assertEq(standing.firstBlock, 100);
        vm.assertEq(standing.checkpointVersion, 0);
        vm.assertTrue(standing.status == Status.Active);
        _assertHash(standing.stateHash, next);
        standing = buffer.standing(bob);
        vm.assertEq(standing.version, 0);
        _assertHash(standing.stateHash, "");
        standing = buffer.standing(address(0xdead));
        vm.assertTrue(standing.status == Status.Unknown);
        vm.assertEq(bytes32(standing.stateHash), bytes32(0));
    }

    function test_RevertWhen_TheVersionIsNotTheNext() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        _commit(alice, 0, book);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferStaleVersion.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, 1));
        _commit(alice, 0, book);
        vm.expectRevert(abi.encodeWithSelector(refusal, 3, 1));
        _commit(alice, 2, book);
        _commit(bob, 0, book); // gateways do not contend
    }

    function test_RevertWhen_TheHeadIsOfAnotherEpochOrStatus() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        Head now_ = CodebookHead.make(bytes25(keccak256("")), 0, 0, 1, Status.Active);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferWrongHead.selector;
        Head head = _head(1, 1, book, 2);
        vm.expectRevert(abi.encodeWithSelector(refusal, head, now_));
        vm.prank(alice);
        buffer.commit(head, book);
        for (uint256 status = 0; status < 4; ++status) {
            if (Status(status) == Status.Active) continue;
            head = head.withStatus(Status(status));
            vm.expectPartialRevert(refusal);
            vm.prank(alice);
            buffer.commit(head, book);
        }
    }

    function test_RevertWhen_TheSenderIsNoGateway() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferNotAGateway.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, address(this), Status.Unknown));
        buffer.commit(_head(1, 1, book, 0), hex"00");
        _revoke(alice);
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, Status.Removed));
        _commit(alice, 0, book);
        vm.expectRevert(abi.encodeWithSelector(refusal, alice, Status.Removed));
        _revoke(alice);
    }

    function test_RevertWhen_ALimitIsPassed() public {
        uint256 most = buffer.maxRecords();
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferTooManyRecords.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, most + 1, most));
        vm.prank(alice);
        buffer.commit(_head(1, most + 1, "", 1), hex"00");

        uint256 longest = buffer.MAX_DELTA_BYTES();
        refusal = IPrototypeBuffer.PrototypeBufferDeltaTooLong.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, longest + 1, longest));
        vm.prank(alice);
        buffer.commit(_head(1, 1, "", 1), new bytes(longest + 1));

        vm.expectRevert(IPrototypeBuffer.PrototypeBufferEmptyDelta.selector);
        vm.prank(alice);
        buffer.commit(_head(1, 1, "", 1), "");
    }

    function test_AllGatewaysEverGrantedCanBeListedByPages() public {
        _revoke(alice);
        vm.assertEq(buffer.gatewayCount(), 2);
        (address[] memory owners, IPrototypeBuffer.Standing[] memory standings) =
            buffer.gateways(0, 10);
        vm.assertEq(owners.length, 2);
        vm.assertEq(owners[0], alice);
        vm.assertTrue(standings[0].status == Status.Removed);
        vm.assertEq(owners[1], bob);
        vm.assertTrue(standings[1].status == Status.Active);
        (owners,) = buffer.gateways(1, 10);
        vm.assertEq(owners.length, 1);
        vm.assertEq(owners[0], bob);
        (owners,) = buffer.gateways(2, 10);
        vm.assertEq(owners.length, 0);
        _grant(alice); // listed once, however often it is granted
        vm.assertEq(buffer.gatewayCount(), 2);
    }

    function test_GrantingAgainBeginsAnEpochInTheState() public {
        bytes memory book = records(2, 1, FEATURES, 1);
        _commit(alice, 0, book);
        buffer.checkpoint(alice, book);
        _revoke(alice);
        vm.roll(150);
        Head again = CodebookHead.make(bytes25(keccak256("")), 2, 0, 2, Status.Active);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.GatewayAdded(alice, again);
        _grant(alice);
        IPrototypeBuffer.Standing memory standing = buffer.standing(alice);
        vm.assertEq(standing.version, 2);
        vm.assertEq(standing.epoch, 2);
        vm.assertEq(standing.count, 0);
        vm.assertEq(standing.firstBlock, 150);
        vm.assertEq(standing.store, address(0));
        _assertHash(standing.stateHash, "");

        // Nothing of the old epoch counts: neither what it claimed nor what it signed.
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferWrongSnapshot.selector);
        buffer.checkpoint(alice, book);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferNoCheckpoint.selector);
        buffer.snapshot(alice, 0);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferStaleVersion.selector);
        _commit(alice, 1, book);
        vm.expectPartialRevert(IPrototypeBuffer.PrototypeBufferWrongHead.selector);
        _commit(alice, 2, book);
        vm.prank(alice);
        buffer.commit(_head(3, 2, book, 2), book);
    }

    function test_RevertWhen_EpochsAreUsedUp() public {
        for (uint256 epoch = 1; epoch < CodebookHead.MAX_EPOCH; ++epoch) {
            _revoke(alice);
            _grant(alice);
        }
        _revoke(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IPrototypeBuffer.PrototypeBufferExhausted.selector, alice)
        );
        _grant(alice);
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
        buffer.setSuccessor(alice);
        vm.expectRevert(refusal);
        buffer.pause();
        vm.expectRevert(refusal);
        buffer.unpause();
        vm.expectRevert(refusal);
        buffer.transferOwnership(alice);
        vm.expectRevert(refusal);
        buffer.renounceOwnership();
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

    function test_ASuccessorIsNamedAndTakenBack() public {
        PrototypeBuffer next = new PrototypeBuffer(owner, SCHEMA, FEATURES + 1, 3);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.SuccessorNamed(address(next));
        vm.prank(owner);
        buffer.setSuccessor(address(next));
        vm.assertEq(buffer.successor(), address(next));
        _commit(alice, 0, records(1, 1, FEATURES, 1)); // the old one goes on until gateways move
        vm.prank(owner);
        buffer.setSuccessor(address(0));
        vm.assertEq(buffer.successor(), address(0));
        vm.expectRevert(
            abi.encodeWithSelector(IPrototypeBuffer.PrototypeBufferNoContract.selector, alice)
        );
        vm.prank(owner);
        buffer.setSuccessor(alice);
    }

    function test_RevertWhen_Paused() public {
        bytes memory book = records(1, 1, FEATURES, 1);
        _commit(alice, 0, book);
        vm.prank(owner);
        buffer.pause();
        vm.assertTrue(buffer.standing(alice).status == Status.Suspended);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _commit(alice, 1, book);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        buffer.checkpoint(alice, book);
        _revoke(alice); // an owner must be able to act while it is paused
        _grant(address(0xCA1)); // and who is added then waits, too
        vm.expectRevert(Pausable.EnforcedPause.selector);
        _commit(address(0xCA1), 0, book);
        vm.prank(owner);
        buffer.unpause();
        vm.assertTrue(buffer.standing(alice).status == Status.Removed);
        _commit(bob, 0, book);
        _commit(address(0xCA1), 0, book);
    }

    function test_TheMostGatewaysCanBePausedInOneTransaction() public {
        uint256 most = buffer.MAX_GATEWAYS();
        address[] memory many = new address[](most - 2);
        for (uint256 i = 0; i < many.length; ++i) {
            many[i] = address(uint160(0x10000 + i));
        }
        vm.prank(owner);
        buffer.addGateways(many);
        vm.prank(owner);
        uint256 before = gasleft();
        buffer.pause();
        vm.assertLe(before - gasleft() + 21_000, 16_777_216);
        vm.assertTrue(buffer.standing(many[0]).status == Status.Suspended);
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferTooManyGateways.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, most + 1, most));
        _grant(address(0xCA1));
    }

    function test_ACommitMayCiteTheOraclesRounds() public {
        bytes4 refusal = IPrototypeBuffer.PrototypeBufferUnknownOracleRound.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, 1, 0));
        vm.prank(alice);
        buffer.commit(_head(1, 1, "", 1), hex"00", 1);

        address oracle = address(new FixedOracle());
        vm.prank(owner);
        buffer.setOracle(oracle);
        vm.assertEq(buffer.oracle(), oracle);
        vm.expectRevert(abi.encodeWithSelector(refusal, 6, 5));
        vm.prank(alice);
        buffer.commit(_head(1, 1, "", 1), hex"00", 6);

        vm.startPrank(alice);
        vm.expectEmit(true, true, true, true, address(buffer));
        emit IPrototypeBuffer.Cited(alice, 1, 5);
        buffer.commit(_head(1, 1, "", 1), hex"00", 5);
        buffer.commit(_head(2, 1, "", 1), hex"00", 3); // an older one is named, the newest kept
        vm.stopPrank();
        vm.assertEq(buffer.standing(alice).oracleRound, 5);
    }

    function test_TheBiggestCommitAndCheckpointFitATransaction() public {
        uint256 most = buffer.maxRecords();
        bytes memory book = new bytes(most * RECORD);
        for (uint256 i = 0; i < book.length; ++i) {
            uint256 place = i % RECORD;
            if (place < 2) book[i] = bytes1(uint8(i / RECORD >> (8 * (1 - place))));
            else book[i] = place == 2 ? bytes1(0x02) : bytes1(0xaa);
        }
        bytes memory delta = new bytes(buffer.MAX_DELTA_BYTES());
        Head head = _head(1, most, book, 1);
        vm.prank(alice);
        uint256 before = gasleft();
        buffer.commit(head, delta);
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
            buffer.commit(_head(base + 1, 1, data, 1), data);
            (, bytes memory emitted) = abi.decode(vm.getRecordedLogs()[0].data, (uint256, bytes));
            vm.assertEq(emitted, data);
        }
    }
}

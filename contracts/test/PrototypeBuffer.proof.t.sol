// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CodebookHead, Head, Status} from "../src/CodebookHead.sol";
import {IPrototypeBuffer} from "../src/interfaces/IPrototypeBuffer.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {Test} from "./utils/Test.sol";

/// @title What Halmos adds to forge's cheatcodes.
interface Svm {
    function enableSymbolicStorage(address account) external;
}

/// @title What no call can break, whatever stands in the buffer's storage: `make prove`.
/// @notice Halmos takes every argument and every storage slot for a symbol, and searches for values
/// that break an assertion. Forge runs none of these: their names do not begin with `test`.
/// @dev keccak256 is a function without collisions to it. Byte strings have the lengths that
/// `scripts/prove.sh` names: up to two records, which is a loop's first and next round.
contract PrototypeBufferProof is Test {
    Svm private constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    uint8 private constant FEATURES = 2;

    PrototypeBuffer private buffer;

    function setUp() public {
        buffer = new PrototypeBuffer(address(0x0A11), keccak256("schema"), FEATURES, 3);
        svm.enableSymbolicStorage(address(buffer));
    }

    function _headOf(address owner) private view returns (Head) {
        IPrototypeBuffer.Standing memory now_ = buffer.standing(owner);
        return CodebookHead.make(now_.stateHash, now_.version, now_.count, now_.epoch, now_.status);
    }

    /// @notice A commit lands exactly if its sender is active, and its head is the next version of
    /// the same epoch, active, and within the limits; and then the state is that head.
    function check_commit_lands_exactly_on_the_next_version(
        address sender,
        Head next,
        bytes calldata delta
    ) public {
        Head head = _headOf(sender);
        bool may = head.status() == Status.Active && next.status() == Status.Active
            && next.version() == head.version() + 1 && next.epoch() == head.epoch()
            && next.count() <= buffer.maxRecords() && delta.length > 0;

        vm.prank(sender);
        (bool done,) =
            address(buffer).call(abi.encodeWithSignature("commit(uint256,bytes)", next, delta));

        assert(done == may);
        assert(Head.unwrap(_headOf(sender)) == Head.unwrap(done ? next : head));
    }

    /// @notice A commit or checkpoint of anybody leaves all heads but the sender's alone; and who
    /// is not the contract's owner neither removes a gateway nor adds one.
    function check_nobody_changes_anothers_head(
        address sender,
        address other,
        uint8 kind,
        Head next,
        bytes calldata data
    ) public {
        vm.assume(sender != other);
        vm.assume(sender != buffer.owner());
        Head head = _headOf(other);
        address[] memory one = new address[](1);
        one[0] = other;
        bytes memory call = abi.encodeWithSignature("commit(uint256,bytes)", next, data);
        if (kind == 1) call = abi.encodeWithSignature("checkpoint(address,bytes)", other, data);
        if (kind == 2) call = abi.encodeWithSignature("removeGateway(address)", other);
        if (kind == 3) call = abi.encodeWithSignature("addGateways(address[])", one);

        vm.prank(sender);
        (bool done,) = address(buffer).call(call);

        assert(!done || kind < 2 || kind > 3);
        assert(Head.unwrap(_headOf(other)) == Head.unwrap(head));
    }

    /// @notice A checkpoint is taken only if its hash and length are the state's; what is read from
    /// it is what was given; and it leaves the head alone.
    function check_checkpoint_is_what_the_state_is_the_hash_of(
        address sender,
        address owner,
        bytes calldata records
    ) public {
        Head head = _headOf(owner);

        vm.prank(sender);
        (bool done,) = address(buffer)
            .call(abi.encodeWithSignature("checkpoint(address,bytes)", owner, records));

        assert(Head.unwrap(_headOf(owner)) == Head.unwrap(head));
        if (!done) return;
        assert(bytes25(keccak256(records)) == head.stateHash());
        assert(records.length == head.count() * buffer.recordBytes());
        if (!head.isListed()) return;
        (IPrototypeBuffer.Age memory age, bytes memory read) = buffer.snapshot(owner, 0);
        assert(age.version == head.version());
        assert(keccak256(read) == keccak256(records));
    }
}

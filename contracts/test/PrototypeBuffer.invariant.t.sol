// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CodebookHead, Head, Status} from "../src/CodebookHead.sol";
import {IPrototypeBuffer} from "../src/interfaces/IPrototypeBuffer.sol";
import {PrototypeBuffer} from "../src/PrototypeBuffer.sol";
import {Test} from "./utils/Test.sol";

/// @title What gateways, strangers and the owner may try, with a model of what must come of it.
/// @dev A codebook is modelled as a set of at most eight records with one feature; a delta flips one.
contract Actors is Test {
    PrototypeBuffer public immutable buffer;
    address[3] public gateways = [address(0xA1), address(0xA2), address(0xA3)];

    mapping(address gateway => uint8) public present;
    mapping(address gateway => uint32) public versions;
    mapping(address gateway => uint16) public epochs;
    mapping(address gateway => bool) public allowed;
    mapping(address gateway => bytes32) public checkpointed;
    uint256 public strangersCommits;
    uint256 public staleCommits;
    uint256 public otherEpochsCommits;
    bool public paused;

    constructor() {
        buffer = new PrototypeBuffer(address(this), bytes32(0), 1, 2);
    }

    function book(address gateway) public view returns (bytes memory encoded) {
        for (uint16 id = 0; id < 8; ++id) {
            if (present[gateway] & (1 << id) != 0) {
                encoded = bytes.concat(encoded, record(id, 1, id, 1, 0));
            }
        }
    }

    function commit(uint256 who, uint256 flip, uint32 base, uint16 epoch) external {
        address gateway = gateways[who % 3];
        uint16 id = uint16(flip % 8);
        uint8 before = present[gateway];
        present[gateway] = before ^ uint8(1 << id);
        bytes memory delta =
            before & (1 << id) != 0 ? abi.encodePacked(id, uint8(0xff)) : record(id, 1, id, 1, 0);
        bytes memory after_ = book(gateway);
        uint32 current = versions[gateway];
        if (base % 4 != 0) base = current;
        if (epoch % 4 != 0) epoch = epochs[gateway];
        epoch %= 1024;
        Head next = CodebookHead.make(
            bytes25(keccak256(after_)), uint256(base) + 1, after_.length / 7, epoch, Status.Active
        );
        vm.prank(gateway);
        try buffer.commit(next, delta) {
            if (base != current) ++staleCommits;
            if (epoch != epochs[gateway]) ++otherEpochsCommits;
            if (!allowed[gateway] || paused) ++strangersCommits;
            versions[gateway] = current + 1;
        } catch {
            present[gateway] = before;
        }
    }

    function checkpoint(uint256 who, uint256 whose) external {
        address gateway = gateways[who % 3];
        bytes memory offered = book(gateways[whose % 3]);
        try buffer.checkpoint(gateway, offered) {
            checkpointed[gateway] = keccak256(offered);
        } catch {}
    }

    function setGateway(uint256 who, bool allow) external {
        address[] memory one = new address[](1);
        one[0] = gateways[who % 3];
        if (allowed[one[0]] == allow) return;
        allowed[one[0]] = allow;
        if (!allow) return buffer.removeGateway(one[0]);
        buffer.addGateways(one);
        if (epochs[one[0]]++ == 0) return;
        // A new epoch: an empty codebook of the next version, and no checkpoint.
        present[one[0]] = 0;
        checkpointed[one[0]] = 0;
        ++versions[one[0]];
    }

    function setPaused(uint256 wanted) external {
        if ((wanted % 3 == 0) == paused) return;
        paused = !paused;
        if (paused) buffer.pause();
        else buffer.unpause();
    }
}

contract PrototypeBufferInvariants is Test {
    Actors private actors;

    function setUp() public {
        actors = new Actors();
        for (uint256 i = 0; i < 3; ++i) {
            actors.setGateway(i, true);
        }
    }

    /// @dev forge asks which contracts to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actors);
    }

    function invariant_TheHeadIsTheFoldOfAllDeltas() public view {
        for (uint256 i = 0; i < 3; ++i) {
            address gateway = actors.gateways(i);
            IPrototypeBuffer.Standing memory standing = actors.buffer().standing(gateway);
            vm.assertEq(standing.version, actors.versions(gateway));
            vm.assertEq(standing.epoch, actors.epochs(gateway));
            bytes memory book = actors.book(gateway);
            vm.assertEq(bytes32(standing.stateHash), bytes32(bytes25(keccak256(book))));
            vm.assertEq(standing.count, book.length / 7);
            Status listed = actors.paused() ? Status.Suspended : Status.Active;
            vm.assertTrue(standing.status == (actors.allowed(gateway) ? listed : Status.Removed));
        }
    }

    function invariant_OnlyListedGatewaysWriteOnTheNewestVersionOfTheirEpoch() public view {
        vm.assertEq(actors.strangersCommits(), 0);
        vm.assertEq(actors.staleCommits(), 0);
        vm.assertEq(actors.otherEpochsCommits(), 0);
    }

    function invariant_ACheckpointIsAStateThatWasInThisEpoch() public view {
        for (uint256 i = 0; i < 3; ++i) {
            address gateway = actors.gateways(i);
            IPrototypeBuffer.Standing memory standing = actors.buffer().standing(gateway);
            vm.assertLe(standing.checkpointVersion, standing.version);
            if (standing.store == address(0)) continue;
            bytes32 stored = _hashOfStore(standing.store);
            vm.assertEq(stored, actors.checkpointed(gateway));
            if (standing.checkpointVersion == standing.version) {
                vm.assertEq(bytes32(bytes25(stored)), bytes32(standing.stateHash));
            }
        }
    }

    function _hashOfStore(address store) private view returns (bytes32) {
        bytes memory code = store.code;
        bytes memory records_ = new bytes(code.length - 1);
        for (uint256 i = 0; i < records_.length; ++i) {
            records_[i] = code[i + 1];
        }
        return keccak256(records_);
    }
}

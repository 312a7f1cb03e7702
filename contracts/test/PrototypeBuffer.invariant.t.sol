// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

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
    mapping(address gateway => bool) public allowed;
    mapping(address gateway => bytes32) public checkpointed;
    uint256 public strangersCommits;
    uint256 public staleCommits;

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

    function commit(uint256 who, uint256 flip, uint32 base) external {
        address gateway = gateways[who % 3];
        uint16 id = uint16(flip % 8);
        uint8 before = present[gateway];
        present[gateway] = before ^ uint8(1 << id);
        bytes memory delta =
            before & (1 << id) != 0 ? abi.encodePacked(id, uint8(0xff)) : record(id, 1, id, 1, 0);
        bytes memory after_ = book(gateway);
        uint32 current = versions[gateway];
        if (base % 4 != 0) base = current;
        vm.prank(gateway);
        try buffer.commit(base, uint16(after_.length / 7), keccak256(after_), delta) {
            if (base != current) ++staleCommits;
            if (!allowed[gateway]) ++strangersCommits;
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
        if (allow) buffer.addGateways(one);
        else if (allowed[one[0]]) buffer.removeGateway(one[0]);
        else return;
        allowed[one[0]] = allow;
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

    function invariant_HeadAndHashAreTheFoldOfAllDeltas() public view {
        for (uint256 i = 0; i < 3; ++i) {
            address gateway = actors.gateways(i);
            (IPrototypeBuffer.Head memory head, bytes32 stateHash) = actors.buffer().head(gateway);
            vm.assertEq(head.version, actors.versions(gateway));
            bytes memory book = actors.book(gateway);
            vm.assertEq(stateHash, keccak256(book));
            vm.assertEq(head.count, book.length / 7);
        }
    }

    function invariant_OnlyGatewaysWriteAndOnlyOnTheNewestVersion() public view {
        vm.assertEq(actors.strangersCommits(), 0);
        vm.assertEq(actors.staleCommits(), 0);
    }

    function invariant_ACheckpointIsAStateThatWas() public view {
        for (uint256 i = 0; i < 3; ++i) {
            address gateway = actors.gateways(i);
            (IPrototypeBuffer.Head memory head, bytes32 stateHash) = actors.buffer().head(gateway);
            vm.assertLe(head.checkpointVersion, head.version);
            if (head.checkpointVersion == 0) continue;
            (, bytes memory stored) = actors.buffer().snapshot(gateway);
            vm.assertEq(keccak256(stored), actors.checkpointed(gateway));
            if (head.checkpointVersion == head.version) vm.assertEq(keccak256(stored), stateHash);
        }
    }
}

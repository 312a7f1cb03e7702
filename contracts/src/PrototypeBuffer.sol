// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {CodebookHead, Head, Status} from "./CodebookHead.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";
import {IPrototypeBuffer} from "./interfaces/IPrototypeBuffer.sol";
import {RecordStore} from "./RecordStore.sol";

/// @title The buffer: see IPrototypeBuffer for what it promises.
/// @dev A commit reads and writes the owner's head and nothing else. So pausing, which is rare, goes
/// through all heads instead of costing every commit another cold slot.
contract PrototypeBuffer is IPrototypeBuffer, Ownable2Step, Pausable {
    /// @notice Longest delta: all records of a full codebook replaced by new ones. About 2 M
    /// gas, far under the 16,777,216 of one transaction.
    uint256 public constant MAX_DELTA_BYTES = 49_152;

    /// @notice Accounts that may ever be granted: bound of the loops over gateways.
    uint256 public constant MAX_GATEWAYS = 1024;

    uint256 private constant RECORD_HEADER_BYTES = 5;

    /// @dev What a grant and a citing commit write.
    struct Epoch {
        uint48 firstBlock;
        uint64 oracleRound;
    }

    struct Snapshot {
        address store;
        uint32 version;
        uint48 blockNumber;
    }

    bytes32 public immutable schemaHash;
    uint8 public immutable features;
    uint8 public immutable labels;
    uint16 public immutable maxRecords;
    uint48 public immutable deployedBlock;

    address public oracle;
    address public successor;

    address[] private _gateways;
    mapping(address owner => Head) private _heads;
    mapping(address owner => Epoch) private _epochs;
    mapping(address owner => Snapshot) private _snapshots;

    /// @param owner_ who adds and removes gateways
    /// @param schemaHash_ hash of the channels and labels that all gateways share
    /// @param features_ features of a record, 1–255
    /// @param labels_ labels, 1–255: class 255 marks a removal
    constructor(address owner_, bytes32 schemaHash_, uint8 features_, uint8 labels_)
        Ownable(owner_)
    {
        if (features_ == 0 || labels_ == 0) {
            revert PrototypeBufferBadSchema(features_, labels_);
        }
        schemaHash = schemaHash_;
        features = features_;
        labels = labels_;
        // casting is safe: 24575 / 7 fits 12 bits
        // forge-lint: disable-next-line(unsafe-typecast)
        maxRecords = uint16(RecordStore.MAX_BYTES / (RECORD_HEADER_BYTES + 2 * uint256(features_)));
        deployedBlock = uint48(block.number);
    }

    /// @inheritdoc IPrototypeBuffer
    function commit(Head head, bytes calldata delta) external {
        _commit(head, delta);
    }

    /// @inheritdoc IPrototypeBuffer
    function commit(Head head, bytes calldata delta, uint64 oracleRound) external {
        uint64 latest = oracle == address(0) ? 0 : IDataOracle(oracle).latestRound();
        if (oracleRound > latest) revert PrototypeBufferUnknownOracleRound(oracleRound, latest);
        _commit(head, delta);
        Epoch storage epoch = _epochs[msg.sender];
        if (oracleRound > epoch.oracleRound) epoch.oracleRound = oracleRound;
        emit Cited(msg.sender, uint32(head.version()), oracleRound);
    }

    /// @inheritdoc IPrototypeBuffer
    function checkpoint(address owner_, bytes calldata records)
        external
        whenNotPaused
        returns (address store)
    {
        Head head = _heads[owner_];
        uint256 version = head.version();
        if (version == _snapshots[owner_].version) {
            revert PrototypeBufferAlreadyCheckpointed(version);
        }
        bytes25 found = bytes25(keccak256(records));
        if (found != head.stateHash()) {
            revert PrototypeBufferWrongSnapshot(found, head.stateHash());
        }
        uint256 size = recordBytes();
        if (records.length != head.count() * size) {
            revert PrototypeBufferWrongSnapshotLength(records.length, head.count() * size);
        }
        _checkRecords(records, size);
        store = RecordStore.write(records);
        if (store == address(0)) revert PrototypeBufferStoreFailed();
        _snapshots[owner_] = Snapshot(store, uint32(version), uint48(block.number));
        emit Checkpoint(owner_, uint32(version), store);
    }

    /// @inheritdoc IPrototypeBuffer
    function addGateways(address[] calldata gateways_) external onlyOwner {
        Status status = paused() ? Status.Suspended : Status.Active;
        for (uint256 i = 0; i < gateways_.length; ++i) {
            address gateway = gateways_[i];
            Head head = _heads[gateway];
            if (head.isListed()) continue;
            uint256 version = 0;
            if (head.status() == Status.Unknown) {
                if (_gateways.length == MAX_GATEWAYS) {
                    revert PrototypeBufferTooManyGateways(MAX_GATEWAYS + 1, MAX_GATEWAYS);
                }
                _gateways.push(gateway);
            } else {
                version = head.version() + 1;
                // the loop is the owner's to bound, by what a transaction can carry
                // slither-disable-next-line costly-loop
                delete _snapshots[gateway];
            }
            uint256 epoch = head.epoch() + 1;
            if (version > CodebookHead.MAX_VERSION || epoch > CodebookHead.MAX_EPOCH) {
                revert PrototypeBufferExhausted(gateway);
            }
            head = CodebookHead.make(bytes25(keccak256("")), version, 0, epoch, status);
            _heads[gateway] = head;
            _epochs[gateway] = Epoch(uint48(block.number), 0);
            emit GatewayAdded(gateway, head);
        }
    }

    /// @inheritdoc IPrototypeBuffer
    function removeGateway(address gateway) external onlyOwner {
        Head head = _heads[gateway];
        if (!head.isListed()) revert PrototypeBufferNotAGateway(gateway, head.status());
        head = head.withStatus(Status.Removed);
        _heads[gateway] = head;
        emit GatewayRemoved(gateway, head);
    }

    /// @inheritdoc IPrototypeBuffer
    function setOracle(address oracle_) external onlyOwner {
        // zero is a value: no oracle
        // slither-disable-next-line missing-zero-check
        oracle = oracle_;
        emit OracleChanged(oracle_);
    }

    /// @inheritdoc IPrototypeBuffer
    function setSuccessor(address successor_) external onlyOwner {
        if (successor_ != address(0) && successor_.code.length == 0) {
            revert PrototypeBufferNoContract(successor_);
        }
        successor = successor_;
        emit SuccessorNamed(successor_);
    }

    /// @inheritdoc IPrototypeBuffer
    function pause() external onlyOwner {
        _pause();
        _setAll(Status.Active, Status.Suspended);
    }

    /// @inheritdoc IPrototypeBuffer
    function unpause() external onlyOwner {
        _unpause();
        _setAll(Status.Suspended, Status.Active);
    }

    /// @notice Give the contract up for good; not while it is paused, because nobody could end that.
    function renounceOwnership() public override onlyOwner whenNotPaused {
        super.renounceOwnership();
    }

    /// @inheritdoc IPrototypeBuffer
    function standing(address owner_) public view returns (Standing memory) {
        Head head = _heads[owner_];
        Epoch storage epoch = _epochs[owner_];
        Snapshot storage snapshot_ = _snapshots[owner_];
        // casting is safe: CodebookHead's fields are no wider
        return Standing({
            version: uint32(head.version()),
            count: uint16(head.count()),
            epoch: uint16(head.epoch()),
            status: head.status(),
            stateHash: head.stateHash(),
            firstBlock: epoch.firstBlock,
            oracleRound: epoch.oracleRound,
            checkpointVersion: snapshot_.version,
            checkpointBlock: snapshot_.blockNumber,
            store: snapshot_.store
        });
    }

    /// @inheritdoc IPrototypeBuffer
    function gateways(uint256 first, uint256 most)
        external
        view
        returns (address[] memory owners, Standing[] memory standings)
    {
        uint256 left = first < _gateways.length ? _gateways.length - first : 0;
        owners = new address[](most < left ? most : left);
        standings = new Standing[](owners.length);
        for (uint256 i = 0; i < owners.length; ++i) {
            owners[i] = _gateways[first + i];
            standings[i] = standing(owners[i]);
        }
    }

    /// @inheritdoc IPrototypeBuffer
    function gatewayCount() external view returns (uint256) {
        return _gateways.length;
    }

    /// @inheritdoc IPrototypeBuffer
    function snapshot(address owner_, uint32 oldest)
        external
        view
        returns (Age memory age, bytes memory records)
    {
        address store;
        (age, store) = _readable(owner_, oldest);
        records = RecordStore.read(store, 0, store.code.length - 1);
    }

    /// @inheritdoc IPrototypeBuffer
    function record(address owner_, uint256 index, uint32 oldest)
        external
        view
        returns (Age memory age, Record memory record_)
    {
        address store;
        (age, store) = _readable(owner_, oldest);
        uint256 size = recordBytes();
        uint256 count = (store.code.length - 1) / size;
        if (index >= count) revert PrototypeBufferIndexOutOfRange(index, count);
        bytes memory raw = RecordStore.read(store, index * size, size);
        record_.id = _uint16At(raw, 0);
        record_.class = uint8(raw[2]);
        record_.weight = _uint16At(raw, 3);
        record_.features = new int16[](features);
        for (uint256 i = 0; i < record_.features.length; ++i) {
            // casting is safe: the two's complement is what was written
            // forge-lint: disable-next-line(unsafe-typecast)
            record_.features[i] = int16(_uint16At(raw, RECORD_HEADER_BYTES + 2 * i));
        }
    }

    /// @notice Bytes of one record.
    function recordBytes() public view returns (uint256) {
        return RECORD_HEADER_BYTES + 2 * uint256(features);
    }

    function _commit(Head next, bytes calldata delta) private {
        Head head = _heads[msg.sender];
        if (head.status() != Status.Active) _refuse(msg.sender, head.status());
        if (next.version() != head.version() + 1) {
            revert PrototypeBufferStaleVersion(next.version(), head.version());
        }
        if (next.epoch() != head.epoch() || next.status() != Status.Active) {
            revert PrototypeBufferWrongHead(next, head);
        }
        if (next.count() > maxRecords) {
            revert PrototypeBufferTooManyRecords(next.count(), maxRecords);
        }
        if (delta.length == 0) revert PrototypeBufferEmptyDelta();
        if (delta.length > MAX_DELTA_BYTES) {
            revert PrototypeBufferDeltaTooLong(delta.length, MAX_DELTA_BYTES);
        }
        _heads[msg.sender] = next;
        emit Delta(msg.sender, next, delta);
    }

    function _refuse(address account, Status status) private pure {
        if (status == Status.Suspended) revert EnforcedPause();
        revert PrototypeBufferNotAGateway(account, status);
    }

    function _setAll(Status from, Status to) private {
        uint256 count = _gateways.length;
        for (uint256 i = 0; i < count; ++i) {
            address gateway = _gateways[i];
            Head head = _heads[gateway];
            if (head.status() == from) _heads[gateway] = head.withStatus(to);
        }
    }

    function _readable(address owner_, uint32 oldest)
        private
        view
        returns (Age memory age, address store)
    {
        Head head = _heads[owner_];
        if (!head.isListed()) revert PrototypeBufferNotAGateway(owner_, head.status());
        Snapshot storage snapshot_ = _snapshots[owner_];
        store = snapshot_.store;
        if (store == address(0)) revert PrototypeBufferNoCheckpoint(owner_);
        age = Age(snapshot_.version, uint32(head.version()), head.status());
        if (age.version < oldest) revert PrototypeBufferStaleCheckpoint(age.version, oldest);
    }

    /// @dev At most 3510 records. A prototype that lacks every feature is for readers to refuse.
    function _checkRecords(bytes calldata records, uint256 size) private view {
        uint256 above = 0;
        uint256 classes = labels;
        for (uint256 offset = 0; offset < records.length; offset += size) {
            uint256 word;
            // A slice would check its bounds again, for each of the records.
            // slither-disable-next-line assembly
            assembly ("memory-safe") {
                word := calldataload(add(records.offset, offset))
            }
            uint256 id = word >> 240;
            if (id < above || uint8(word >> 232) >= classes) {
                revert PrototypeBufferMalformedRecord(offset / size);
            }
            above = id + 1;
        }
    }

    function _uint16At(bytes memory raw, uint256 offset) private pure returns (uint16) {
        return (uint16(uint8(raw[offset])) << 8) | uint8(raw[offset + 1]);
    }
}

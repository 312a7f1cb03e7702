// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {IDataOracle} from "./interfaces/IDataOracle.sol";
import {IPrototypeBuffer} from "./interfaces/IPrototypeBuffer.sol";
import {RecordStore} from "./RecordStore.sol";

/// @title The buffer: see IPrototypeBuffer for what it promises.
/// @dev Status, version and checkpoint share a slot, so that a commit costs one cold slot less.
contract PrototypeBuffer is IPrototypeBuffer, Ownable2Step, Pausable {
    /// @notice Longest delta: all records of a full codebook replaced by new ones. About 2 M
    /// gas, far under the 16,777,216 of one transaction.
    uint256 public constant MAX_DELTA_BYTES = 49_152;

    /// @notice Bound of the loop in `addGateways`.
    uint256 public constant MAX_GATEWAYS_PER_CALL = 256;

    uint256 private constant RECORD_HEADER_BYTES = 5;

    bytes32 public immutable schemaHash;
    uint8 public immutable features;
    uint8 public immutable labels;
    uint16 public immutable maxRecords;
    uint48 public immutable deployedBlock;

    address public oracle;

    mapping(address owner => Head) private _heads;
    mapping(address owner => bytes32) private _stateHashes;
    mapping(address owner => address) private _stores;

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
        // casting is safe: 24575 / 7 fits 16 bits
        // forge-lint: disable-next-line(unsafe-typecast)
        maxRecords = uint16(RecordStore.MAX_BYTES / (RECORD_HEADER_BYTES + 2 * uint256(features_)));
        deployedBlock = uint48(block.number);
    }

    /// @inheritdoc IPrototypeBuffer
    function commit(uint32 base, uint16 count, bytes32 stateHash, bytes calldata delta)
        external
        returns (uint32 version)
    {
        return _commit(base, count, stateHash, delta, 0);
    }

    /// @inheritdoc IPrototypeBuffer
    function commit(
        uint32 base,
        uint16 count,
        bytes32 stateHash,
        bytes calldata delta,
        uint64 oracleRound
    ) external returns (uint32 version) {
        uint64 latest = oracle == address(0) ? 0 : IDataOracle(oracle).latestRound();
        if (oracleRound > latest) revert PrototypeBufferUnknownOracleRound(oracleRound, latest);
        version = _commit(base, count, stateHash, delta, oracleRound);
        emit Cited(msg.sender, version, oracleRound);
    }

    /// @inheritdoc IPrototypeBuffer
    function checkpoint(address owner_, bytes calldata records)
        external
        whenNotPaused
        returns (address store)
    {
        Head storage head_ = _heads[owner_];
        (uint32 version, uint256 expectedLength) = (head_.version, head_.count * recordBytes());
        if (version == head_.checkpointVersion) revert PrototypeBufferAlreadyCheckpointed(version);
        bytes32 found = keccak256(records);
        if (found != _stateHashes[owner_]) {
            revert PrototypeBufferWrongSnapshot(found, _stateHashes[owner_]);
        }
        if (records.length != expectedLength) {
            revert PrototypeBufferWrongSnapshotLength(records.length, expectedLength);
        }
        head_.checkpointVersion = version;
        store = RecordStore.write(records);
        if (store == address(0)) revert PrototypeBufferStoreFailed();
        _stores[owner_] = store;
        emit Checkpoint(owner_, version, store);
    }

    /// @inheritdoc IPrototypeBuffer
    function addGateways(address[] calldata gateways) external onlyOwner {
        if (gateways.length > MAX_GATEWAYS_PER_CALL) {
            revert PrototypeBufferTooManyGateways(gateways.length, MAX_GATEWAYS_PER_CALL);
        }
        for (uint256 i = 0; i < gateways.length; ++i) {
            Head storage head_ = _heads[gateways[i]];
            if (head_.status == Status.Active) continue;
            // So the hash is that of the codebook from version 0 on, and the first commit, which its
            // gateway pays, finds a slot in use.
            if (head_.status == Status.Unknown) _stateHashes[gateways[i]] = keccak256("");
            head_.status = Status.Active;
            emit GatewayAdded(gateways[i]);
        }
    }

    /// @inheritdoc IPrototypeBuffer
    function removeGateway(address gateway) external onlyOwner {
        Head storage head_ = _heads[gateway];
        if (head_.status != Status.Active) {
            revert PrototypeBufferNotAGateway(gateway, head_.status);
        }
        head_.status = Status.Removed;
        emit GatewayRemoved(gateway);
    }

    /// @inheritdoc IPrototypeBuffer
    function setOracle(address oracle_) external onlyOwner {
        // zero is a value: no oracle
        // slither-disable-next-line missing-zero-check
        oracle = oracle_;
        emit OracleChanged(oracle_);
    }

    /// @inheritdoc IPrototypeBuffer
    function pause() external onlyOwner {
        _pause();
    }

    /// @inheritdoc IPrototypeBuffer
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @inheritdoc IPrototypeBuffer
    function head(address owner_) external view returns (Head memory head_, bytes32 stateHash) {
        return (_heads[owner_], _stateHashes[owner_]);
    }

    /// @inheritdoc IPrototypeBuffer
    function snapshot(address owner_) external view returns (uint32 version, bytes memory records) {
        address store = _storeOf(owner_);
        version = _heads[owner_].checkpointVersion;
        records = RecordStore.read(store, 0, store.code.length - 1);
    }

    /// @inheritdoc IPrototypeBuffer
    function record(address owner_, uint256 index)
        external
        view
        returns (uint16 id, uint8 class, uint16 weight, int16[] memory features_)
    {
        address store = _storeOf(owner_);
        uint256 size = recordBytes();
        uint256 count = (store.code.length - 1) / size;
        if (index >= count) revert PrototypeBufferIndexOutOfRange(index, count);
        bytes memory raw = RecordStore.read(store, index * size, size);
        id = _uint16At(raw, 0);
        class = uint8(raw[2]);
        weight = _uint16At(raw, 3);
        features_ = new int16[](features);
        for (uint256 i = 0; i < features_.length; ++i) {
            // casting is safe: the two's complement is what was written
            // forge-lint: disable-next-line(unsafe-typecast)
            features_[i] = int16(_uint16At(raw, RECORD_HEADER_BYTES + 2 * i));
        }
    }

    /// @notice Bytes of one record.
    function recordBytes() public view returns (uint256) {
        return RECORD_HEADER_BYTES + 2 * uint256(features);
    }

    function _commit(
        uint32 base,
        uint16 count,
        bytes32 stateHash,
        bytes calldata delta,
        uint64 oracleRound
    ) private whenNotPaused returns (uint32 version) {
        Head storage head_ = _heads[msg.sender];
        Head memory old = head_;
        if (old.status != Status.Active) revert PrototypeBufferNotAGateway(msg.sender, old.status);
        if (base != old.version) revert PrototypeBufferStaleVersion(old.version);
        if (count > maxRecords) revert PrototypeBufferTooManyRecords(count, maxRecords);
        if (delta.length == 0) revert PrototypeBufferEmptyDelta();
        if (delta.length > MAX_DELTA_BYTES) {
            revert PrototypeBufferDeltaTooLong(delta.length, MAX_DELTA_BYTES);
        }
        version = base + 1;
        head_.version = version;
        head_.count = count;
        head_.commitBlock = uint48(block.number);
        if (oracleRound > old.oracleRound) head_.oracleRound = oracleRound;
        _stateHashes[msg.sender] = stateHash;
        emit Delta(msg.sender, version, count, stateHash, delta);
    }

    function _storeOf(address owner_) private view returns (address store) {
        store = _stores[owner_];
        if (store == address(0)) revert PrototypeBufferNoCheckpoint(owner_);
    }

    function _uint16At(bytes memory raw, uint256 offset) private pure returns (uint16) {
        return (uint16(uint8(raw[offset])) << 8) | uint8(raw[offset + 1]);
    }
}

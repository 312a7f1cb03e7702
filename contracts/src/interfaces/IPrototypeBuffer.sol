// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Head, Status} from "../CodebookHead.sol";

/// @title One codebook of prototypes per whitelisted gateway.
/// @notice Each gateway writes only its own codebook, so no two contend. A commit is a delta in an
/// event plus one storage slot, the owner's head; readers fold the deltas and check the result
/// against the head's hash, and anyone may store the folded codebook so that contracts can read it.
///
/// A record is `id u16 | class u8 | weight u16 | features × i16`, big-endian, 5 + 2·features bytes. A
/// feature q stands for q / 12000 of its channel's range, and −32768 for one that is lacking. A delta
/// is a row of records sorted by id, each inserting or replacing; a removal is `id u16 | 0xff`. Where there are at most 127 labels, a
/// record of a delta may be narrow: the class's high bit set, and a byte b for each feature, which
/// stands for (24000·b + 255) / 510 steps. The hash is the first 25 bytes of keccak256 of all records
/// sorted by id.
///
/// An owner that is granted again begins a new epoch with an empty codebook and the next version, so
/// that readers who have followed it and readers who are new agree.
///
/// Costs, gas of whole transactions: `protoledger bench ledger`, shown in docs/chain.md.
interface IPrototypeBuffer {
    /// @notice All that the state knows of an owner.
    /// @param version commits and grants so far; 0 is the empty codebook of the first grant
    /// @param count records in the codebook
    /// @param epoch grants so far
    /// @param status Active owners may commit, Removed ones stay readable from the events
    /// @param stateHash first 25 bytes of keccak256 of all records sorted by id
    /// @param firstBlock block of the newest grant: no event of this epoch is older
    /// @param oracleRound newest oracle round that the codebook was learnt from; 0 if none
    /// @param checkpointVersion version of the stored snapshot; 0 if this epoch has none
    /// @param checkpointBlock its block: with the snapshot, no older event is needed
    /// @param store its data contract: one zero byte, then the records
    struct Standing {
        uint32 version;
        uint16 count;
        uint16 epoch;
        Status status;
        bytes25 stateHash;
        uint48 firstBlock;
        uint64 oracleRound;
        uint32 checkpointVersion;
        uint48 checkpointBlock;
        address store;
    }

    /// @notice How old a snapshot is that a contract reads.
    /// @param version the snapshot's
    /// @param newest the owner's newest version
    /// @param status Active, or Suspended while the contract is paused
    struct Age {
        uint32 version;
        uint32 newest;
        Status status;
    }

    /// @notice One prototype.
    struct Record {
        uint16 id;
        uint8 class;
        uint16 weight;
        int16[] features;
    }

    /// @notice A commit was accepted.
    /// @param owner whose codebook
    /// @param head how it stands from now on; its hash is what the owner claims for the fold
    /// @param delta the records that changed
    event Delta(address indexed owner, Head head, bytes delta);

    /// @notice The commit of this version, in the event just before, was learnt from the oracle's
    /// samples up to `oracleRound`.
    event Cited(address indexed owner, uint32 indexed version, uint64 oracleRound);

    /// @notice A snapshot whose hash is the head's was stored.
    event Checkpoint(address indexed owner, uint32 indexed version, address store);

    /// @notice `gateway` may commit from now on, starting from the empty codebook of `head`.
    event GatewayAdded(address indexed gateway, Head head);

    /// @notice `gateway` may no longer commit; readers drop its codebook.
    event GatewayRemoved(address indexed gateway, Head head);

    /// @notice Commits may now name rounds of `oracle`; the zero address forbids it.
    event OracleChanged(address indexed oracle);

    /// @notice The deployment at `successor` takes this one's place; this one stays readable.
    event SuccessorNamed(address indexed successor);

    /// @notice The offered head's version is not the one after the newest.
    error PrototypeBufferStaleVersion(uint256 offered, uint256 current);

    /// @notice The offered head names another epoch, or another status than Active.
    error PrototypeBufferWrongHead(Head offered, Head current);

    /// @notice The account is no gateway that may write.
    error PrototypeBufferNotAGateway(address account, Status status);

    /// @notice More records than fit a snapshot (see `maxRecords`).
    error PrototypeBufferTooManyRecords(uint256 count, uint256 limit);

    /// @notice A longer delta than a transaction under the gas cap can carry (see `MAX_DELTA_BYTES`).
    error PrototypeBufferDeltaTooLong(uint256 length, uint256 limit);

    /// @notice A commit without a change.
    error PrototypeBufferEmptyDelta();

    /// @notice The oracle has not reached this round, or there is no oracle (`latest` is 0).
    error PrototypeBufferUnknownOracleRound(uint64 round, uint64 latest);

    /// @notice The snapshot is not the owner's newest state.
    error PrototypeBufferWrongSnapshot(bytes25 found, bytes25 expected);

    /// @notice The snapshot is not `count` records long: the owner's claims contradict each other.
    error PrototypeBufferWrongSnapshotLength(uint256 length, uint256 expected);

    /// @notice The snapshot's record at `index` has an unknown class, or an id that does not rise.
    error PrototypeBufferMalformedRecord(uint256 index);

    /// @notice This version has a checkpoint already.
    error PrototypeBufferAlreadyCheckpointed(uint256 version);

    /// @notice No snapshot of this owner's epoch is stored.
    error PrototypeBufferNoCheckpoint(address owner);

    /// @notice The stored snapshot is older than the reader accepts.
    error PrototypeBufferStaleCheckpoint(uint32 version, uint32 oldest);

    /// @notice The snapshot has fewer records.
    error PrototypeBufferIndexOutOfRange(uint256 index, uint256 count);

    /// @notice Storing the snapshot failed: most likely too little gas.
    error PrototypeBufferStoreFailed();

    /// @notice More gateways than `MAX_GATEWAYS`, over all times.
    error PrototypeBufferTooManyGateways(uint256 count, uint256 limit);

    /// @notice The account's versions or epochs are used up: give the gateway a new key.
    error PrototypeBufferExhausted(address gateway);

    /// @notice The schema does not fit the record format.
    error PrototypeBufferBadSchema(uint256 features, uint256 labels);

    /// @notice No contract stands at the named address.
    error PrototypeBufferNoContract(address account);

    /// @notice Move the sender's codebook on by one version.
    /// @param head the head that the delta leads to: version one more than the newest, the epoch as it
    /// is, status Active
    /// @param delta changed and removed records
    function commit(Head head, bytes calldata delta) external;

    /// @notice The same, for a codebook learnt from the oracle's samples up to `oracleRound`.
    function commit(Head head, bytes calldata delta, uint64 oracleRound) external;

    /// @notice Store the newest codebook of `owner`; anyone may, if the hash is right.
    /// @param records all records sorted by id
    /// @return store the data contract: one zero byte, then the records
    function checkpoint(address owner, bytes calldata records) external returns (address store);

    /// @notice Let `gateways_` commit; those that may already are passed over.
    function addGateways(address[] calldata gateways_) external;

    /// @notice Forbid `gateway` to commit. Its codebook stays readable from the events.
    function removeGateway(address gateway) external;

    /// @notice Name the oracle whose rounds commits may cite.
    function setOracle(address oracle_) external;

    /// @notice Name the deployment that takes this one's place; zero takes the name back.
    function setSuccessor(address successor_) external;

    /// @notice Stop commits and checkpoints.
    function pause() external;

    /// @notice Allow them again.
    function unpause() external;

    /// @notice How an owner's codebook stands.
    function standing(address owner) external view returns (Standing memory);

    /// @notice Every account that was ever a gateway, in the order of the first grants, by pages.
    /// @param first index of the first, from 0
    /// @param most how many to give at most
    function gateways(uint256 first, uint256 most)
        external
        view
        returns (address[] memory owners, Standing[] memory standings);

    /// @notice How many accounts were ever a gateway.
    function gatewayCount() external view returns (uint256);

    /// @notice The whole stored snapshot of a gateway that is not removed.
    /// @param oldest the lowest version that the reader accepts; 0: any of this epoch
    function snapshot(address owner, uint32 oldest)
        external
        view
        returns (Age memory age, bytes memory records);

    /// @notice One record of it.
    /// @param index position in id order, from 0
    function record(address owner, uint256 index, uint32 oldest)
        external
        view
        returns (Age memory age, Record memory record_);

    /// @notice Hash of the site schema: channels and labels that all gateways share.
    function schemaHash() external view returns (bytes32);

    /// @notice Features of a record.
    function features() external view returns (uint8);

    /// @notice Labels; a record's class is below.
    function labels() external view returns (uint8);

    /// @notice Most records of a codebook: as many as one data contract holds.
    function maxRecords() external view returns (uint16);

    /// @notice Block of the deployment: no event is older.
    function deployedBlock() external view returns (uint48);

    /// @notice The oracle whose rounds commits may cite; zero if none.
    function oracle() external view returns (address);

    /// @notice The deployment that takes this one's place; zero if none.
    function successor() external view returns (address);
}

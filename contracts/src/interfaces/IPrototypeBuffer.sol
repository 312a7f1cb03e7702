// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title A codebook of prototypes for every whitelisted gateway.
/// @notice Each gateway writes only its own codebook, so no two contend. A commit is a delta in an
/// event plus two storage slots; whoever folds the deltas can check the result against the state
/// hash, and anyone may store the folded codebook so that other contracts can read it.
///
/// A record is `id u16 | class u8 | weight u16 | features × i16`, big-endian, 5 + 2·features bytes. A
/// feature q stands for q / 12000 of its channel's range. A delta is a row of records sorted by id,
/// each inserting or replacing; a removal is `id u16 | 0xff`. Where there are at most 127 labels, a record
/// of a delta may be narrow: the class's high bit set, and a byte b for each feature, which stands for
/// (24000·b + 255) / 510 steps. The state hash is keccak256 of all records sorted by id, and that of an
/// added gateway's empty codebook is there from the start.
///
/// Costs, gas of whole transactions: adding a gateway 71 k, a first commit of narrow records 41 k
/// (11 × 2) to 131 k (125 × 18), an update of a tenth 40 to 47 k, a checkpoint 0.11 to 1.20 M; reading
/// a record within a transaction 8 to 21 k.
interface IPrototypeBuffer {
    /// @notice Where a gateway stands with the contract.
    enum Status {
        Unknown,
        Active,
        Removed
    }

    /// @notice One slot that says all about an owner's codebook but its content.
    /// @param version commits so far; 0 is the empty codebook
    /// @param count records in the codebook
    /// @param commitBlock block of the newest commit
    /// @param checkpointVersion version of the stored snapshot; 0 if there is none
    /// @param oracleRound newest oracle round that the codebook was learnt from; 0 if none
    /// @param status Active owners may commit, Removed ones stay readable
    struct Head {
        uint32 version;
        uint16 count;
        uint48 commitBlock;
        uint32 checkpointVersion;
        uint64 oracleRound;
        Status status;
    }

    /// @notice A commit was accepted.
    /// @param owner whose codebook
    /// @param version the version that the delta leads to
    /// @param count records after it
    /// @param stateHash what the owner claims that the fold of all deltas hashes to
    /// @param delta the records that changed
    event Delta(
        address indexed owner, uint32 indexed version, uint16 count, bytes32 stateHash, bytes delta
    );

    /// @notice The commit of this version, told just before, was learnt from the oracle's samples up
    /// to `oracleRound`.
    event Cited(address indexed owner, uint32 indexed version, uint64 oracleRound);

    /// @notice A snapshot whose hash is the state hash was stored.
    event Checkpoint(address indexed owner, uint32 indexed version, address store);

    /// @notice `gateway` may commit from now on.
    event GatewayAdded(address indexed gateway);

    /// @notice `gateway` may no longer commit; readers drop its codebook.
    event GatewayRemoved(address indexed gateway);

    /// @notice Commits may now name rounds of `oracle`; the zero address forbids it.
    event OracleChanged(address indexed oracle);

    /// @notice The commit was built on a version that is no longer, or not yet, the newest.
    error PrototypeBufferStaleVersion(uint32 current);

    /// @notice The sender is not a gateway that may write.
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
    error PrototypeBufferWrongSnapshot(bytes32 found, bytes32 expected);

    /// @notice The snapshot is not `count` records long: the owner's claims contradict each other.
    error PrototypeBufferWrongSnapshotLength(uint256 length, uint256 expected);

    /// @notice This version has a checkpoint already.
    error PrototypeBufferAlreadyCheckpointed(uint32 version);

    /// @notice No snapshot of this owner is stored.
    error PrototypeBufferNoCheckpoint(address owner);

    /// @notice The snapshot has fewer records.
    error PrototypeBufferIndexOutOfRange(uint256 index, uint256 count);

    /// @notice Storing the snapshot failed: most likely too little gas.
    error PrototypeBufferStoreFailed();

    /// @notice More gateways in one call than `MAX_GATEWAYS_PER_CALL`.
    error PrototypeBufferTooManyGateways(uint256 count, uint256 limit);

    /// @notice The schema does not fit the record format.
    error PrototypeBufferBadSchema(uint256 features, uint256 labels);

    /// @notice Move the sender's codebook from `base` to the next version.
    /// @param base the version that the delta starts from
    /// @param count records after it
    /// @param stateHash keccak256 of the id-sorted codebook after it
    /// @param delta changed and removed records
    /// @return version the new version
    function commit(uint32 base, uint16 count, bytes32 stateHash, bytes calldata delta)
        external
        returns (uint32 version);

    /// @notice The same, for a codebook learnt from the oracle's samples up to `oracleRound`.
    function commit(
        uint32 base,
        uint16 count,
        bytes32 stateHash,
        bytes calldata delta,
        uint64 oracleRound
    ) external returns (uint32 version);

    /// @notice Store the newest codebook of `owner`; anyone may, if the hash is right.
    /// @param records all records sorted by id
    /// @return store the data contract: one zero byte, then the records
    function checkpoint(address owner, bytes calldata records) external returns (address store);

    /// @notice Let `gateways` commit; those that may already are passed over.
    function addGateways(address[] calldata gateways) external;

    /// @notice Forbid `gateway` to commit. Its codebook stays readable.
    function removeGateway(address gateway) external;

    /// @notice Name the oracle whose rounds commits may cite.
    function setOracle(address oracle_) external;

    /// @notice Stop commits and checkpoints.
    function pause() external;

    /// @notice Allow them again.
    function unpause() external;

    /// @notice Head and state hash of an owner's codebook.
    function head(address owner) external view returns (Head memory head_, bytes32 stateHash);

    /// @notice The whole stored snapshot, and which version it is.
    function snapshot(address owner) external view returns (uint32 version, bytes memory records);

    /// @notice One record of the stored snapshot.
    /// @param index position in id order, from 0
    function record(address owner, uint256 index)
        external
        view
        returns (uint16 id, uint8 class, uint16 weight, int16[] memory features_);

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
}

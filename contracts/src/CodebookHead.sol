// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice How a gateway's codebook stands, in one word, so that a commit writes one storage slot:
/// `hash 200 bits | version 32 | count 12 | epoch 10 | status 2`, from the highest bit down. The
/// hash is the first 25 bytes of keccak256 of all records sorted by id.
type Head is uint256;

/// @notice Where a gateway stands with the contract. Suspended is Active while the contract is paused.
enum Status {
    Unknown,
    Active,
    Removed,
    Suspended
}

using CodebookHead for Head global;

/// @title The fields of a head.
library CodebookHead {
    uint256 internal constant MAX_VERSION = type(uint32).max;
    uint256 internal constant MAX_COUNT = 4095;
    uint256 internal constant MAX_EPOCH = 1023;

    /// @dev The caller keeps the fields within their bounds.
    function make(bytes25 hash, uint256 version_, uint256 count_, uint256 epoch_, Status status_)
        internal
        pure
        returns (Head)
    {
        return Head.wrap(
            uint256(bytes32(hash)) | (version_ << 24) | (count_ << 12) | (epoch_ << 2)
                | uint256(status_)
        );
    }

    function stateHash(Head head) internal pure returns (bytes25) {
        return bytes25(bytes32(Head.unwrap(head)));
    }

    function version(Head head) internal pure returns (uint256) {
        return (Head.unwrap(head) >> 24) & MAX_VERSION;
    }

    function count(Head head) internal pure returns (uint256) {
        return (Head.unwrap(head) >> 12) & MAX_COUNT;
    }

    function epoch(Head head) internal pure returns (uint256) {
        return (Head.unwrap(head) >> 2) & MAX_EPOCH;
    }

    function status(Head head) internal pure returns (Status) {
        return Status(Head.unwrap(head) & 3);
    }

    function withStatus(Head head, Status status_) internal pure returns (Head) {
        return Head.wrap((Head.unwrap(head) & ~uint256(3)) | uint256(status_));
    }

    /// @notice Whether the owner is on the list: it may write, or will when the pause ends.
    function isListed(Head head) internal pure returns (bool) {
        return Head.unwrap(head) & 1 == 1;
    }
}

"""What an audit consists of: records, digests, keys, signatures and the folder they live in."""

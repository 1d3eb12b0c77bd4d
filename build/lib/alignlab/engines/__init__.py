"""Token ids in, token ids out: batching, prefix cache, stopping."""

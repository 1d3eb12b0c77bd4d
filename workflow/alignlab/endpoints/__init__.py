"""Models behind an HTTP API: protocol, client, ledger of replies, budget."""

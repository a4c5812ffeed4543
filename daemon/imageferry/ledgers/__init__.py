"""Everything durable: the ledger, written once in statements, and the databases that carry them out."""

"""Looking after a ledger: rebuilding its projections and copying its books."""

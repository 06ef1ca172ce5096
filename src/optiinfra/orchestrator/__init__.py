"""The orchestrator: runs the agents on what was seen, keeps what they propose, takes decisions."""

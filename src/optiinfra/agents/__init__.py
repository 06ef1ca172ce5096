"""Agents: pure planning, one folder an agent."""

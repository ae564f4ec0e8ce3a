"""Contracts: one shared test over every implementation of a plug."""

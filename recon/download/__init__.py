"""The papers' datasets: the registry, fetching their files, and checking the files that are here.

A newcomer adds one entry in data/registry.yaml; no code is needed.
"""

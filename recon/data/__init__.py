"""Datasets, one a file, and the way from their scans to prepared volumes.

A newcomer adds one file that ends in ``DATASET = Source(...)``; a configuration names it by
``kind``. A dataset that can be downloaded also gets an entry in data/registry.yaml. Files without a
record hold what datasets share.
"""

"""Where scans come from: one file a dataset, and the way from its scans to prepared volumes.

A newcomer adds one file that ends in ``DATASET = Source(...)``; a configuration names it by
``kind``. A set that is to be downloaded also gets its entry in data/registry.yaml. Files without a
record hold what datasets share.
"""

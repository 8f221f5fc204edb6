"""Rows of files and URLs, in and out, a chunk at a time: JSON Lines, CSV, TSV, Parquet, plain or compressed.

A new file format goes here; which column means what is `columns`.
"""

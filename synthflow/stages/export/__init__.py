"""`export.*`: releases for trainers, one config a shape; every row that is left out says why.

A shape is a subclass of `base.ParquetExport`; copy `stepwise`. How: docs/add-an-export.md.
"""

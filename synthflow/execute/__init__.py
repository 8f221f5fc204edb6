"""Running a plan on Dask: the driver, the units of work, the engines, the progress.

Nothing here may show in a row. Who looks for resume finds the way in docs/resume.md.
"""

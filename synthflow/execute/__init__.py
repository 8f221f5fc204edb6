"""Running a plan on Dask: the driver, the units of work, the engines, the progress."""

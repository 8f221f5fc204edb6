"""`export.*`: releases for trainers, one config a shape; every row that is left out says why."""

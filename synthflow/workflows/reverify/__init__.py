"""`verify RUN`: a finished run is judged again, and what flips is shown before anything is replaced."""

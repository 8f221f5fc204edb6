from synthflow.api import Pipeline as Pipeline
from synthflow.api import Run as Run

__version__: str

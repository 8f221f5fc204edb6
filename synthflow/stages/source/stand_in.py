"""What stands for a source in a pipeline: it brings rows of its own and is known as the source."""

from __future__ import annotations

from collections.abc import Iterator

from synthflow.io.rows import Row
from synthflow.stages.source.base import Source


class StandIn(Source):
    """Base of what stands for a source. A subclass says in `batches` and `rejects` what it brings.

    All that a fingerprint and a message are made of is the source's, and belongs to the instance: one class stands for
    every source.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.name, source.config)
        self._source = source
        self.use = source.use  # type: ignore[misc]
        self.version = source.version  # type: ignore[misc]
        self.identity_excludes = source.identity_excludes  # type: ignore[misc]
        self.added = source.added  # type: ignore[misc]

    def rows(self) -> Iterator[Row]:
        return self._source.rows()

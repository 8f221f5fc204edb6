"""A verifier's fields from the command line: a YAML file, then single fields over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthflow.errors import Mistakes, UserError


def verifier_config(path: Path | None, settings: Sequence[str]) -> dict[str, Any]:
    """The fields given; the verifier checks them.

    Raises:
        Mistakes: for texts that are no `FIELD=VALUE`, all together.
        UserError: if the file cannot be read, or is no YAML.
    """
    from synthflow.spec import overrides, yaml_text
    from synthflow.spec.document import Document

    document = Document(str(path) if path else "--set", {})
    if path is not None:
        try:
            document = yaml_text.parse(path.read_text(encoding="utf-8-sig"), str(path))
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        if document.found:
            raise Mistakes(document.in_order(), str(path))
    overrides.apply(document, settings, "--set", "FIELD=VALUE")
    return document.data

"""Paths of files as people give them: resolved, expanded, and said again in an error."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from synthflow.errors import UserError


def anchored(path: Any, base_dir: Path) -> Any:
    """A path, or each of a list, made absolute; URLs and what is no text stay as they are."""
    if isinstance(path, list | tuple):
        return [anchored(one, base_dir) for one in path]
    if not isinstance(path, str) or "://" in path or not path or "\0" in path:
        return path
    try:
        return str(base_dir / Path(path).expanduser())
    except RuntimeError:  # ~nobody: no such user, so that it is a name like any other
        return str(base_dir / path)


def expand(paths: Sequence[str]) -> list[str]:
    """Files that `paths` name, in their order; a pattern's matches are sorted, so that disks do not decide.

    Raises:
        UserError: for a path that leads to no file, with the nearest name in its folder.
    """
    found: list[str] = []
    for path in paths:
        if "://" in path:
            found.extend(_expand_url(path))
        elif "\0" in path or not path:
            raise UserError(f"{path!r} is no path")
        else:
            try:
                found.extend([path] if Path(path).is_file() else _expand_pattern(path))
            except OSError as error:
                raise UserError(f"{label(path)[:200]}: cannot be opened: {reason(error)}") from error
    return list(dict.fromkeys(found))


def label(path: str) -> str:
    """A path as a person here would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd())) if "://" not in path else path
    except ValueError:
        return path


def _expand_url(path: str) -> list[str]:
    if not any(c in path for c in "*?["):
        return [path]
    import fsspec

    try:
        scheme = path.partition("://")[0]
        files = sorted(f"{scheme}://{f.path.removeprefix('/')}" for f in fsspec.open_files(path, "rb"))
    except Exception as error:  # every file system has errors of its own
        raise UserError(f"{path}: cannot be opened: {reason(error)}") from error
    if not files:
        raise UserError(f"no file matches {path}")
    return files


def _expand_pattern(path: str) -> list[str]:
    if any(c in path for c in "*?["):
        # Path.glob takes relative patterns only: what stands before the first wildcard is the folder.
        parts = Path(path).parts
        fixed = next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))
        found = sorted(str(f) for f in Path(*parts[:fixed]).glob("/".join(parts[fixed:])) if f.is_file())
        if found:
            return found
        raise UserError(f"no file matches {label(path)}")
    here = Path(path)
    if here.is_dir():
        inside = sorted(p.name for p in here.iterdir() if p.is_file())
        hint = f"name its files, such as {label(path)}/*{Path(inside[0]).suffix}" if inside else "it holds no files"
        raise UserError(f"{label(path)} is a folder; {hint}")
    folder = next((p for p in here.parents if p.is_dir()), Path("/"))
    if folder != here.parent:
        raise UserError(f"{label(path)}: no such file; the folder {label(str(here.parent))} does not exist")
    close = get_close_matches(here.name, [p.name for p in folder.iterdir()], n=1, cutoff=0.5)
    raise UserError(f"{label(path)}: no such file" + (f"; did you mean {close[0]!r}?" if close else ""))


def reason(error: BaseException) -> str:
    """What a file system or a decoder says, in one line."""
    text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return text[:200] or type(error).__name__

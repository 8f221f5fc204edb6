"""From the model a spec names to a directory on this machine, and from its contents to the policy's identity.

Invariant: the identity depends on what the files say, never on where they lie, how they got there or which
backend reads them. A copy of a model under another path is the same policy; one changed weight, token or
template character is another. Nothing here imports torch, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthflow import ids
from synthflow.contracts import PolicyIdentity
from synthflow.errors import UserError
from synthflow.models import smollm2
from synthflow.models.hashes import hash_files

SHIPPED = {"demo": "short", "demo-long": "long"}
"""Names of the policies that come with the package, and the demo world that each was trained for."""
_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w.\-/]+)?$")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
# What a library notes for itself when it saves a model, and what says nothing about the function computed.
_NOTES = frozenset((
    "_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures",
    "chat_template", "local_files_only", "is_local", "backend",
))  # fmt: skip


def resolve_model(model: str) -> Path:
    """The directory that holds `model`: a name of ours, a directory, or a name in the local Hugging Face cache.

    Ours are `demo`, `demo-long` and `smollm2`. A hub name may carry a revision: `org/name@revision`.

    Raises:
        UserError: saying where it was looked for and how to bring it.
    """
    if model in SHIPPED:
        return _demo_directory(SHIPPED[model])
    if model == smollm2.NAME:
        return smollm2.directory()
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"model {model!r} is a file; expected a model directory (with config.json), or a hub name")
    if not _HUB_NAME.match(model):
        raise UserError(
            f"model {model!r}: no such directory; give a model directory, a hub name such as org/name, "
            f"or {', '.join(SHIPPED)} or {smollm2.NAME}"
        )
    return _cached_snapshot(model)


def _demo_directory(world: str) -> Path:
    # Imported here: the demo's modules are only needed by who samples from it.
    from synthflow import demo

    return Path(demo.policy_path(world))


def hub_cache() -> Path:
    """The local Hugging Face cache: `HF_HUB_CACHE`, `$HF_HOME/hub`, or `~/.cache/huggingface/hub`."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def _cached_snapshot(model: str) -> Path:
    name, _, revision = model.partition("@")
    folder = hub_cache() / ("models--" + name.replace("/", "--"))
    ref = folder / "refs" / (revision or "main")
    commit = ref.read_text("utf-8").strip() if ref.is_file() else revision
    snapshot = folder / "snapshots" / commit
    if commit and snapshot.is_dir():
        return snapshot
    asked = f" --revision {revision}" if revision else ""
    raise UserError(
        f"model {model!r} is neither a directory here nor in the Hugging Face cache (looked for {folder}); "
        f"bring it with `hf download {name}{asked}`, or give the directory that holds it"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model directory; empty if the file is not there.

    Raises:
        UserError: if the file holds anything else.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a JSON object ({error}); the model directory looks damaged") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object; the model directory looks damaged")
    return found


def weight_files(directory: Path) -> list[Path]:
    """Files of the weights, sorted by name: safetensors, or else PyTorch's own.

    Raises:
        UserError: if the directory holds neither.
    """
    found = sorted(directory.glob("*.safetensors")) or sorted(directory.glob("pytorch_model*.bin"))
    if not found:
        raise UserError(f"{directory}: no weights; expected *.safetensors (or pytorch_model*.bin) in a model directory")
    return found


def chat_template(directory: Path) -> str:
    """The chat template's text: `chat_template.jinja`, else that of `tokenizer_config.json`; empty if there is none."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    found = read_json(directory / "tokenizer_config.json").get("chat_template")
    if found is None:
        found = read_json(directory / "chat_template.json").get("chat_template")
    if isinstance(found, list):  # named templates
        named = {t.get("name"): t.get("template") for t in found if isinstance(t, Mapping)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def stop_token_ids(directory: Path) -> frozenset[int]:
    """Ids of end-of-sequence tokens that the generation and model configurations name."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        eos = read_json(directory / name).get("eos_token_id")
        found.update([eos] if isinstance(eos, int) else eos or [])
    return frozenset(found)


def vocabulary(directory: Path) -> int | None:
    """Rows of the embedding, as config.json tells: token ids are below; None where it does not tell."""
    config = read_json(directory / "config.json")
    for source in (config, config.get("text_config")):
        if isinstance(source, Mapping) and isinstance(source.get("vocab_size"), int):
            return int(source["vocab_size"])
    return None


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in _NOTES}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokenizer_hash(directory: Path) -> str:
    """SHA-256 over the tokenizer's files, its settings (without the template) and the stop tokens.

    Raises:
        UserError: if the directory holds no tokenizer.
    """
    files = [directory / name for name in _TOKENIZER_FILES if (directory / name).is_file()]
    if not files:
        raise UserError(f"{directory}: no tokenizer; expected tokenizer.json in a model directory")
    parts: dict[str, Any] = {f.name: digest for f, digest in zip(files, hash_files(files), strict=True)}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        parts[name] = _settings(read_json(directory / name))
    parts["stop"] = sorted(stop_token_ids(directory))
    return _sha(ids.canonical(parts))


def weights_hash(directory: Path) -> str:
    """SHA-256 over the weights, in the order of their file names, and the architecture that reads them."""
    architecture = _settings(read_json(directory / "config.json"))
    return _sha(ids.canonical([hash_files(weight_files(directory)), architecture]))


def switched(template_hash: str, switches: Mapping[str, Any]) -> str:
    """Hash of a chat template with its switches; without any that of the template itself."""
    return _sha(ids.canonical([template_hash, dict(switches)])) if switches else template_hash


def identify(directory: Path, switches: Mapping[str, Any] | None = None) -> PolicyIdentity:
    """Identity of the model in `directory`.

    Args:
        switches: what its chat template is given besides the messages.

    Raises:
        UserError: if weights or tokenizer are missing.
    """
    config = read_json(directory / "config.json")
    weights, tokenizer = weights_hash(directory), tokenizer_hash(directory)
    template = switched(_sha(chat_template(directory)), switches or {})
    details = {"model_type": config.get("model_type"), "dtype": config.get("dtype") or config.get("torch_dtype")}
    return PolicyIdentity(ids.policy_id(weights, tokenizer, template), weights, tokenizer, template, details)

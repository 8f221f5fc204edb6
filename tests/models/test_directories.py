"""Where a model is found, and what makes it the same policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synthflow.backends import load_renderer, open_backend
from synthflow.contracts import PolicyConfig, PolicyIdentity
from synthflow.errors import Mistakes, UserError
from synthflow.models import hashes
from synthflow.models.directories import identify, resolve_model
from synthflow.stores.files import sha256_of


def copy(policy_dir: Path, to: Path) -> Path:
    return Path(shutil.copytree(policy_dir, to))


def test_identity_does_not_know_the_path(policy_dir: Path, tmp_path: Path) -> None:
    assert identify(copy(policy_dir, tmp_path / "elsewhere")) == identify(policy_dir)


def test_both_shipped_policies_have_a_name_and_one_tokenizer() -> None:
    short, long = (identify(resolve_model(name)) for name in ("demo", "demo-long"))
    assert short.policy_id != long.policy_id and short.weights_hash != long.weights_hash
    assert (short.tokenizer_hash, short.template_hash) == (long.tokenizer_hash, long.template_hash)
    with pytest.raises(UserError, match="demo, demo-long or smollm2"):
        resolve_model("demo/long/x")


def test_every_backend_names_the_same_policy(policy_dir: Path) -> None:
    found = {
        open_backend(PolicyConfig(backend=b, model=str(policy_dir), options=o)).identity().policy_id
        for b, o in [
            ("transformers", {"batch_size": 4}),
            ("vllm", {}),
            ("openai", {"base_url": "http://x/v1", "weights": str(policy_dir)}),
        ]
    }
    assert found == {identify(policy_dir).policy_id}


@pytest.mark.parametrize(
    "switches", [{"enable_thinking": False}, {"chat_template_kwargs": {"a": 1}}, {"template_date": "2026-11-30"}]
)
@pytest.mark.parametrize("backend", ["transformers", "vllm", "openai"])
def test_a_switch_of_the_template_makes_another_policy(
    backend: str, switches: dict[str, object], policy_dir: Path
) -> None:
    served = {"base_url": "http://x/v1", "weights": str(policy_dir)} if backend == "openai" else {}

    def identity(**options: object) -> PolicyIdentity:
        return open_backend(
            PolicyConfig(backend=backend, model=str(policy_dir), options={**served, **options})
        ).identity()

    plain, switched = identity(), identity(**switches)
    assert (switched.weights_hash, switched.tokenizer_hash) == (plain.weights_hash, plain.tokenizer_hash)
    assert switched.template_hash != plain.template_hash and switched.policy_id != plain.policy_id
    assert plain == identify(policy_dir) == identity(chat_template_kwargs={}, enable_thinking=None)


def _set(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_one_weight_one_merge_or_one_template_character_is_another_policy(policy_dir: Path, tmp_path: Path) -> None:
    same = identify(policy_dir)
    weights = copy(policy_dir, tmp_path / "w")
    raw = bytearray((weights / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (weights / "model.safetensors").write_bytes(raw)
    assert identify(weights).weights_hash != same.weights_hash
    assert identify(weights).tokenizer_hash == same.tokenizer_hash
    rope = copy(policy_dir, tmp_path / "r")
    _set(rope / "config.json", rms_norm_eps=0.5)
    assert identify(rope).weights_hash != same.weights_hash
    template = copy(policy_dir, tmp_path / "t")
    (template / "chat_template.jinja").write_text("{{ messages }}")
    assert identify(template).template_hash != same.template_hash
    assert identify(template).tokenizer_hash == same.tokenizer_hash
    tokenizer = copy(policy_dir, tmp_path / "k")
    _set(tokenizer / "tokenizer_config.json", eos_token="<|bos|>")
    assert identify(tokenizer).tokenizer_hash != same.tokenizer_hash
    stop = copy(policy_dir, tmp_path / "s")
    _set(stop / "generation_config.json", eos_token_id=[2, 3])
    assert identify(stop).tokenizer_hash != same.tokenizer_hash
    assert len({identify(d).policy_id for d in (policy_dir, weights, rope, template, tokenizer, stop)}) == 6


def test_what_a_library_notes_for_itself_changes_nothing(policy_dir: Path, tmp_path: Path) -> None:
    noted = copy(policy_dir, tmp_path / "n")
    _set(noted / "config.json", transformers_version="9.9", _name_or_path="/somewhere", dtype="bfloat16")
    assert identify(noted).policy_id == identify(policy_dir).policy_id


def test_hashes_are_remembered_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"abc")
    [first] = hashes.hash_files([file])
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with monkeypatch.context() as m:
        m.setattr(hashes, "sha256_of", lambda _: pytest.fail("hashed again"))
        assert hashes.hash_files([file]) == [first]
    file.write_bytes(b"abd")
    assert hashes.hash_files([file]) != [first]
    hashes.memo_path().write_text("{torn")
    assert hashes.hash_files([file]) == [sha256_of(file)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))  # no directory can be made under a file
    assert hashes.hash_files([file]) == [sha256_of(file)]


def test_a_model_is_found_in_the_hub_cache(policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    commit = "a" * 40
    snapshot = copy(policy_dir, tmp_path / "models--org--tiny" / "snapshots" / commit)
    refs = tmp_path / "models--org--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit + "\n")
    assert resolve_model("org/tiny") == resolve_model(f"org/tiny@{commit}") == snapshot
    with pytest.raises(UserError, match="hf download org/tiny --revision v2"):
        resolve_model("org/tiny@v2")
    assert load_renderer(PolicyConfig(backend="transformers", model="org/tiny")) is not None


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match="hf download org/none"):
        resolve_model("org/none")
    with pytest.raises(UserError, match="no such directory"):
        resolve_model(str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        resolve_model(str(tmp_path / "file"))
    with pytest.raises(UserError, match="no weights"):
        identify(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="no tokenizer"):
        identify(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="expected a JSON object"):
        identify(tmp_path)


def test_wrong_options_are_listed_at_once(policy_dir: Path) -> None:
    options = {"batchsize": 3, "threads": -1}
    with pytest.raises(Mistakes) as caught:
        open_backend(PolicyConfig(backend="transformers", model=str(policy_dir), options=options))
    text = str(caught.value)
    assert "policy.options.batchsize" in text and "'batch_size'" in text and "policy.options.threads" in text

    with pytest.raises(Mistakes, match="tokeniser"):
        load_renderer(PolicyConfig(backend="replay", model="x", options={"tokeniser": "demo"}))

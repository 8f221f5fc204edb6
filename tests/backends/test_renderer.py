"""The renderer against the tokenizer library and transformers, on ordinary and hostile tokens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthflow.backends.detokenize import ByteDetokenizer, WindowDetokenizer
from synthflow.backends.renderer import UNKNOWN_CONTEXT, PolicyRenderer
from synthflow.backends.template_options import TemplateOptions
from synthflow.errors import UserError

RELAXED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TOKENS = st.lists(st.integers(0, 430), max_size=60)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.fixture(params=["byte", "metaspace"])
def renderer(request: pytest.FixtureRequest) -> PolicyRenderer:
    return PolicyRenderer.load(request.getfixturevalue(f"{request.param}_dir"))


@RELAXED
@given(tokens=TOKENS)
def test_token_ends_tile_the_text(renderer: PolicyRenderer, tokens: list[int]) -> None:
    text, ends = renderer.decode(tokens), renderer.token_ends(tokens)
    assert len(ends) == len(tokens)
    assert ends == sorted(ends)
    assert (ends[-1] if ends else 0) == len(text)
    stream = renderer.stream()
    assert "".join([*map(stream.push, tokens), stream.finish()]) == text


@RELAXED
@given(tokens=TOKENS)
def test_byte_level_text_is_the_library_s(byte_dir: Path, tokens: list[int]) -> None:
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(byte_dir / "tokenizer.json"))
    assert PolicyRenderer.load(byte_dir).decode(tokens) == library.decode(tokens, skip_special_tokens=True)


@RELAXED
@given(text=TEXTS)
def test_what_was_encoded_decodes_to_itself(byte_dir: Path, text: str) -> None:
    renderer = PolicyRenderer.load(byte_dir)
    assert renderer.decode(renderer.encode(text)) == text


@RELAXED
@given(left=st.text("ab ap1\n🍏", max_size=12), right=st.text("ab ap1\n🍏", max_size=12))
def test_a_continuation_joins_its_prefix(renderer: PolicyRenderer, left: str, right: str) -> None:
    tokens = renderer.encode(left + right)
    whole, ends = renderer.decode(tokens), renderer.token_ends(tokens)
    for cut in range(len(tokens) + 1):
        if "�" not in (a := renderer.decode(tokens[:cut])) and "�" not in (b := renderer.decode(tokens[cut:])):
            assert a + b == whole
            assert cut == 0 or ends[cut - 1] == len(a)


def test_special_and_stop_tokens_are_no_text(byte_dir: Path) -> None:
    renderer = PolicyRenderer.load(byte_dir)
    tokens = [1, *renderer.encode("12 apples"), 3, 2]
    assert renderer.decode(tokens) == "12 apples"
    assert renderer.token_ends(tokens)[-2:] == [9, 9]
    assert renderer.stop_token_ids == {2}


def test_a_spelled_out_stop_token_is_text(renderer: PolicyRenderer) -> None:
    for text in ("<|eos|>", "</s>"):
        assert not set(renderer.encode(text)) & renderer.stop_token_ids


def test_a_split_character_belongs_to_the_token_that_completes_it(byte_dir: Path) -> None:
    renderer = PolicyRenderer.load(byte_dir)
    by_byte = {bytes(v): k for k, v in renderer._detokenizer._bytes.items() if len(v) == 1}  # type: ignore[attr-defined]
    tokens = [by_byte[bytes([b])] for b in "é!".encode()]
    assert renderer.token_ends(tokens) == [0, 1, 2]
    assert renderer.token_ends(tokens[:1]) == [1], "a lone half is one replacement character"
    assert renderer.decode(tokens[:1]) == "�"


def test_lone_surrogates_become_replacement_characters(renderer: PolicyRenderer) -> None:
    assert renderer.encode("a\ud800b") == renderer.encode("a�b")
    assert renderer.render([("user", "a\udfffb")]) == renderer.render([{"role": "user", "content": "a�b"}])


@pytest.mark.parametrize("messages", [[("user", "How many? 🍏")], [("system", "s"), ("user", "<|eos|>\n{{ 1 }}")]])
def test_render_is_transformers_own(byte_dir: Path, messages: list[tuple[str, str]]) -> None:
    from transformers import AutoTokenizer

    library = AutoTokenizer.from_pretrained(byte_dir)
    dicts = [{"role": r, "content": c} for r, c in messages]
    expected = library.apply_chat_template(dicts, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert PolicyRenderer.load(byte_dir).render(messages) == list(expected)


def test_the_demo_policy_renders_as_transformers_does() -> None:
    from transformers import AutoTokenizer

    from synthflow.models.directories import resolve_model

    directory = resolve_model("demo")
    library, renderer = AutoTokenizer.from_pretrained(directory), PolicyRenderer.load(directory)
    dicts = [{"role": "system", "content": "x"}, {"role": "user", "content": "Tom has 12 apples.\nHow many? 🍏<|eos|>"}]
    expected = library.apply_chat_template(dicts, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert renderer.render(dicts) == list(expected)
    assert renderer.stop_token_ids == {library.eos_token_id} and renderer.max_context == library.model_max_length
    text = "12 + 3 = 15\nThe answer is \\boxed{15}. é🍏"
    assert renderer.decode(renderer.encode(text)) == text


def test_a_template_gets_no_clock_and_no_way_out(byte_dir: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((byte_dir / name).read_bytes())
    template = tmp_path / "chat_template.jinja"
    template.write_text("{% if strftime_now is defined %}{{ strftime_now('%s') }}{% else %}fixed{% endif %}")
    renderer = PolicyRenderer.load(tmp_path)
    assert renderer.decode(renderer.render([("user", "x")])) == "fixed"
    template.write_text("{{ messages.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(UserError, match="refuses"):
        PolicyRenderer.load(tmp_path).render([("user", "x")])
    template.write_text("{{ raise_exception('no ' + messages[0].role) }}")
    with pytest.raises(UserError, match="no robot"):
        PolicyRenderer.load(tmp_path).render([("robot", "x")])
    template.write_text("{% for %}")
    with pytest.raises(UserError, match="does not compile"):
        PolicyRenderer.load(tmp_path)


def rendered(directory: Path, template: str, **options: object) -> str:
    (directory / "chat_template.jinja").write_text(template)
    renderer = PolicyRenderer.load(directory, TemplateOptions.model_validate(options))
    return renderer.decode(renderer.render([("user", "x")]))


def test_a_template_that_asks_for_today_is_told_one_date(byte_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_dir / "tokenizer.json").read_bytes())
    asks = "{{ strftime_now('%d %b %Y') }}"
    falls_back = "{% if strftime_now is defined %}" + asks + "{% else %}its own{% endif %}"
    assert rendered(tmp_path, asks) == "26 Jul 2024"
    assert rendered(tmp_path, falls_back) == "its own"
    for template in (asks, falls_back):
        assert rendered(tmp_path, template, template_date="2026-11-30") == "30 Nov 2026"


def test_switches_reach_the_template(byte_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_dir / "tokenizer.json").read_bytes())
    template = "{{ enable_thinking is defined and enable_thinking }} {{ style }}"
    assert rendered(tmp_path, template) == "False "
    assert rendered(tmp_path, template, enable_thinking=True, chat_template_kwargs={"style": "terse"}) == "True terse"


def test_generation_marks_render_as_their_body(byte_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_dir / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}{% generation %}[{{ m.content }}]{% endgeneration %}{% endfor %}"
    )
    renderer = PolicyRenderer.load(tmp_path)
    assert renderer.decode(renderer.render([("user", "a"), ("user", "b")])) == "[a][b]"
    assert renderer.max_context == UNKNOWN_CONTEXT


def test_what_is_missing_is_named(tmp_path: Path, byte_dir: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        PolicyRenderer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{]")
    with pytest.raises(UserError, match="damaged"):
        PolicyRenderer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((byte_dir / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match="no chat template"):
        PolicyRenderer.load(tmp_path).render([("user", "x")])


def test_endless_rubbish_takes_linear_time(renderer: PolicyRenderer) -> None:
    kind = type(renderer._detokenizer)
    assert kind in (ByteDetokenizer, WindowDetokenizer)
    rubbish = [200] * 4000  # a continuation byte, or a byte-fallback token, for ever
    started = time.perf_counter()
    ends = renderer.token_ends(rubbish)
    small = time.perf_counter() - started
    started = time.perf_counter()
    assert len(renderer.token_ends(rubbish * 4)) == 4 * len(ends)
    assert time.perf_counter() - started < 20 * small + 0.1


def test_loads_without_torch() -> None:
    code = (
        "import sys, synthflow.backends, synthflow.backends.renderer, synthflow.models.directories;"
        "heavy = {'torch', 'transformers', 'vllm', 'polars', 'datasets'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)

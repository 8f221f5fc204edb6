"""`reward_model` measures with a real classifier, and gives a verdict where the spec names a threshold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.classifier import write_classifier
from synthflow.contracts import Judgement, Question
from synthflow.errors import Mistakes, UserError
from synthflow.spec import Pipeline
from synthflow.verifiers.opening import open_verifier

PROMPT = (("user", "What is 2 + 2?"),)
TEXTS = ["It is 4.", "It is 5, because two and two make five.", "I do not know.", "4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("reward") / "one")


@pytest.fixture(scope="module")
def judge() -> Callable[..., list[Judgement]]:
    def asked(model: Path, *texts: str, prompt: Any = PROMPT, **config: Any) -> list[Judgement]:
        verifier = open_verifier("reward_model", {"model": str(model), **config})
        said = verifier.judge([Question(f"r{i}", "p", text, None, prompt=prompt) for i, text in enumerate(texts)])
        verifier.close()
        return said

    return asked


def scores(said: list[Judgement]) -> list[float | None]:
    return [part.value for judgement in said for part in judgement.parts if part.kind == "measure"]


def by_hand(model: Path, text: str) -> float:
    """The score as transformers' own two calls give it, one text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    messages = [{"role": "user", "content": PROMPT[0][1]}, {"role": "assistant", "content": text}]
    ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        return float(AutoModelForSequenceClassification.from_pretrained(model)(torch.tensor([ids])).logits[0, 0])


def test_without_a_threshold_the_score_is_a_measurement(model: Path, judge: Callable[..., Any]) -> None:
    said = judge(model, *TEXTS)
    assert {(j.verdict, j.value, j.reason) for j in said} == {("unknown", None, "no_threshold")}
    assert scores(said) == pytest.approx([by_hand(model, text) for text in TEXTS], abs=1e-4)
    assert len(set(scores(said))) == len(TEXTS)
    assert {(p.scorer, p.verdict) for j in said for p in j.parts} == {("reward_model:score", None)}


def test_a_threshold_makes_a_verdict(model: Path, judge: Callable[..., Any]) -> None:
    found = scores(judge(model, *TEXTS))
    middle = sorted(found)[2]
    said = judge(model, *TEXTS, threshold=middle)
    assert [j.verdict for j in said] == ["correct" if score >= middle else "wrong" for score in found]
    assert scores(said) == found
    assert all(0 <= j.value <= 1 and (j.value > 0 if j.verdict == "correct" else j.value < 1) for j in said)
    assert [j.value for j in said] == sorted([j.value for j in said], key=lambda v: [x.value for x in said].index(v))


@pytest.mark.parametrize("pad", [True, False])
def test_a_score_does_not_depend_on_its_batch(tmp_path: Path, judge: Callable[..., Any], pad: bool) -> None:
    model = write_classifier(tmp_path / "m", pad=pad)
    alone = [scores(judge(model, text))[0] for text in TEXTS]
    for order in (TEXTS, TEXTS[::-1]):
        for size in (1, 3, 8):
            together = scores(judge(model, *order, batch_size=size))
            assert together == pytest.approx([alone[TEXTS.index(text)] for text in order], abs=2e-5)


def test_a_text_that_does_not_fit_is_unknown_or_shortened_as_asked(model: Path, judge: Callable[..., Any]) -> None:
    long = "x" * 300 + "4"
    assert [(j.verdict, j.reason) for j in judge(model, long, max_length=64, threshold=0)] == [("unknown", "too_long")]
    ends, starts = (
        judge(model, long, max_length=64, threshold=0, too_long=how)[0] for how in ("drop_start", "drop_end")
    )
    assert ends.verdict != "unknown" and starts.verdict != "unknown" and scores([ends]) != scores([starts])
    n = len(f"<user>{PROMPT[0][1]}<assistant>{long}")
    assert f"{n} tokens, {n - 64} of them dropped" in ends.detail
    assert judge(model, "x" * 1_000_001)[0].reason == "too_large"


def test_what_cannot_be_scored(model: Path, tmp_path: Path, judge: Callable[..., Any]) -> None:
    assert [j.reason for j in judge(model, "", "4", prompt=())] == ["empty", "no_prompt"]
    poisoned = write_classifier(tmp_path / "nan", poison=True)
    (said,) = judge(poisoned, "4", threshold=0.0)
    assert (said.verdict, said.reason, said.parts) == ("unknown", "not_finite", ())
    assert judge(model, "\ud800 4", threshold=0)[0].verdict != "unknown"


def test_one_of_several_outputs_is_a_chance(tmp_path: Path, judge: Callable[..., Any]) -> None:
    three = write_classifier(tmp_path / "three", labels=3)
    found = [scores(judge(three, "It is 4.", label=label))[0] for label in ("LABEL_0", 1, 2)]
    assert sum(found) == pytest.approx(1, abs=1e-4) and all(0 < p < 1 for p in found)
    with pytest.raises(UserError, match="has several outputs; say which with label"):
        judge(three, "4")
    with pytest.raises(UserError, match=r"no output 'LABEL_9'.*did you mean 'LABEL_"):
        judge(three, "4", label="LABEL_9")


def test_pairs_for_models_without_a_chat_template(model: Path, tmp_path: Path, judge: Callable[..., Any]) -> None:
    plain = Path(shutil.copytree(model, tmp_path / "plain"))
    settings = json.loads((plain / "tokenizer_config.json").read_text())
    (plain / "tokenizer_config.json").write_text(
        json.dumps({k: v for k, v in settings.items() if k != "chat_template"})
    )
    with pytest.raises(UserError, match="has no chat template; set input: pair"):
        judge(plain, "4")
    assert len(scores(judge(plain, "4", input="pair"))) == 1


def test_a_model_without_a_head_is_refused(model: Path, tmp_path: Path, judge: Callable[..., Any]) -> None:
    from transformers import AutoModel

    headless = Path(shutil.copytree(model, tmp_path / "headless"))
    AutoModel.from_pretrained(model).save_pretrained(headless)
    with pytest.raises(UserError, match=r"no sequence classifier: it has no weights 'score.weight'"):
        judge(headless, "4")


def test_the_weights_are_part_of_the_version_and_the_path_is_not(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    one, two = (open_verifier("reward_model", {"model": str(m)}) for m in (model, copy))
    assert (one.full_version(), one.identity()) == (two.full_version(), two.identity())
    other = open_verifier("reward_model", {"model": str(write_classifier(tmp_path / "b", labels=2))})
    assert other.full_version() != one.full_version()


def test_planning_finds_the_folder_and_the_missing_threshold(model: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "2 + 2?", "answer": "4"}\n')
    Path(shutil.copytree(model, tmp_path / "judge"))

    def build(**verify: Any) -> Pipeline:
        stages = {
            "problems": {"use": "source.jsonl", "path": "p.jsonl"},
            "rollouts": {"use": "sample", "of": "problems", "n": 1},
            "verdicts": {"of": "rollouts", **verify},
        }
        return Pipeline.build("x", stages, {"backend": "transformers", "model": "demo"}, base_dir=tmp_path)

    node = build(use="verify.reward_model", model="./judge")["verdicts"]
    assert node.config.model == str(tmp_path / "judge") and node.given["model"] == "./judge"
    inner = {"use": "reward_model", "model": "./judge", "threshold": 0.0}
    node = build(use="verify.cascade", steps=["math", inner])["verdicts"]
    assert node.config.steps[1]["model"] == str(tmp_path / "judge")
    assert str(tmp_path) not in json.dumps(dict(node.stage.identity()))
    with pytest.raises(Mistakes, match=r"stages\.verdicts\.model: .*/nowhere' is no folder"):
        build(use="verify.reward_model", model="./nowhere")
    with pytest.raises(Mistakes, match=r"stages\.verdicts\.steps\[1\]\.model: .*/nowhere' is no folder"):
        build(use="verify.cascade", steps=["math", {**inner, "model": "nowhere"}])
    with pytest.raises(Mistakes, match=r"steps\[1\]\.threshold: .*without one it gives no verdict"):
        build(use="verify.cascade", steps=["math", {**inner, "threshold": None}])

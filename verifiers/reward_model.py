"""`reward_model`: what a sequence classifier of `transformers` says of a completion, and the verdict of a threshold.

Invariants: the score is a measurement, and is kept as one (a part of kind `measure`, in the model's own scale); a
verdict is only given where the spec names the threshold for it. A score that is no finite number, or of a text that
does not fit, is unknown. A row's score depends on its own text only: texts of different lengths share a batch only
where the tokenizer has a padding token of its own, and scores are rounded to five decimals, below which
batches differ. The model is read from a local folder, and runs no code of its own.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from synthflow.contracts import Judgement, Part, Question, Verifier, VerifierConfig
from synthflow.errors import UserError, suggest
from synthflow.ids import content_id
from synthflow.models.hashes import hash_files

_DECIMALS = 5
_MOST_CHARS = 1_000_000
_HASHED = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "*.jinja", "*.model")


class RewardModelConfig(VerifierConfig):
    """Configuration of `verify.reward_model`."""

    model: str = Field(description="folder with the classifier, relative to the pipeline file", min_length=1)
    threshold: float | None = Field(
        None, description="correct where the score is this or more, else wrong; null: unknown, reason no_threshold"
    )
    label: int | str | None = Field(None, description="which output is the score, where the model has several")
    input: Literal["chat", "pair"] = Field(
        "chat", description="chat: prompt and completion in the model's chat template; pair: last message, completion"
    )
    max_length: int = Field(4096, ge=8, description="most tokens the model is shown")
    too_long: Literal["unknown", "drop_start", "drop_end"] = Field(
        "unknown", description="what happens to a longer text; a shortened one says so in its detail"
    )
    batch_size: int = Field(8, ge=1, le=4096, description="texts in one forward pass")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="of the weights")


class RewardModelVerifier(Verifier):
    """A sequence classifier's score, and a verdict by threshold.

    Unknown reasons: empty, no_threshold, no_prompt, too_long, too_large, not_finite.
    """

    name = "reward_model"
    version = "1"
    Config = RewardModelConfig
    needs_answer = False

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._loaded: Classifier | None = None

    @classmethod
    def resolve_paths(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        model = given.get("model")
        if not isinstance(model, str) or not model or "\0" in model:
            return dict(given)
        return {**given, "model": str(base_dir / Path(model).expanduser())}

    def check(self) -> Iterable[tuple[str, str, str]]:
        folder = Path(self.config.model)
        if not (folder / "config.json").is_file():
            found = "no folder of a model: it has no config.json" if folder.is_dir() else "no folder"
            yield "model", f"{self.config.model!r} is {found}", "download the classifier, and name its folder"

    def identity(self) -> Any:
        """The configuration with the hash of the model in place of its path."""
        return {**self.config.model_dump(mode="json"), "model": folder_hash(self.config.model)}

    def full_version(self) -> str:
        model = folder_hash(self.config.model)
        return f"{self.version}+model {model}+transformers {version('transformers')}+torch {version('torch')}"

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        """One judgement a question, each with its score as a part.

        Raises:
            UserError: if the folder holds no sequence classifier that can be used as configured.
        """
        early = [_before(question) for question in questions]
        asked = [question for question, known in zip(questions, early, strict=True) if known is None]
        if not asked:
            return [known for known in early if known is not None]
        if self._loaded is None:
            self._loaded = Classifier(self.config)
        started = time.perf_counter()
        scores = self._loaded.scores(asked)
        took = (time.perf_counter() - started) / len(asked)
        said = iter([self._said(score, took) for score in scores])
        return [known if known is not None else next(said) for known in early]

    def _said(self, scored: Scored, took: float) -> Judgement:
        detail = f"{scored.tokens} tokens" + (f", {scored.dropped} of them dropped" if scored.dropped else "")
        if scored.score is None:
            return Judgement.unknown("too_long", f"{detail}; {self.config.max_length} fit", took)
        if not math.isfinite(scored.score):
            return Judgement.unknown("not_finite", f"score {scored.score}; {detail}", took)
        score = round(scored.score, _DECIMALS)
        own = content_id("c", self.name, self.identity())
        part = Part("measure", f"{self.name}:score", self.full_version(), own, None, score, None, detail)
        told, threshold = f"score {score:g}; {detail}", self.config.threshold
        if threshold is None:
            return Judgement("unknown", None, "no_threshold", told, took, (part,))
        verdict: Literal["correct", "wrong"] = "correct" if score >= threshold else "wrong"
        value = scored.chance if verdict == "wrong" else max(scored.chance, 10.0**-_DECIMALS)
        value = min(value, 1 - 10.0**-_DECIMALS) if verdict == "wrong" else value
        return Judgement(verdict, value, None, told, took, (part,))

    def close(self) -> None:
        self._loaded = None


def _before(question: Question) -> Judgement | None:
    if not question.completion.strip():
        return Judgement.unknown("empty")
    if not question.prompt:
        return Judgement.unknown("no_prompt", "the problem's messages are not at hand")
    if len(question.completion) > _MOST_CHARS:
        return Judgement.unknown("too_large", f"more than {_MOST_CHARS} characters")
    return None


def folder_hash(folder: str) -> str:
    """16 hex digits over the bytes of weights, configuration and tokenizer.

    Raises:
        UserError: if the folder cannot be read.
    """
    try:
        paths = sorted({path for pattern in _HASHED for path in Path(folder).glob(pattern)})
        if not paths:
            raise UserError(f"verify.reward_model: {folder!r} is no folder of a model")
        found = hashlib.sha256()
        for path, digest in zip(paths, hash_files(paths), strict=True):
            found.update(f"{path.name}:{path.stat().st_size};".encode() + bytes.fromhex(digest))
        return found.hexdigest()[:16]
    except OSError as error:
        raise UserError(f"verify.reward_model: {folder!r} cannot be read: {error}") from error


class Scored:
    """One text's score (None if it did not fit), its chance in [0, 1], its tokens, and how many were dropped."""

    __slots__ = ("chance", "dropped", "score", "tokens")

    def __init__(self, score: float | None, chance: float, tokens: int, dropped: int) -> None:
        self.score, self.chance, self.tokens, self.dropped = score, chance, tokens, dropped


class Classifier:
    """The loaded model. `scores` is the only thing it does.

    Raises:
        UserError: if the folder holds no classifier, no chat template where one is asked for, or several outputs of
            which none is chosen.
    """

    def __init__(self, config: RewardModelConfig) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._config = config
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(config.model, local_files_only=True)
            self._model, told = AutoModelForSequenceClassification.from_pretrained(
                config.model, local_files_only=True, dtype=getattr(torch, config.dtype), output_loading_info=True
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            first_line = str(error).strip().partition("\n")[0][:300]
            raise UserError(f"verify.reward_model: {config.model!r} cannot be loaded: {first_line}") from error
        missing = sorted(told["missing_keys"])
        if missing:  # transformers fills them with random numbers
            raise UserError(
                f"verify.reward_model: {config.model!r} is no sequence classifier: it has no weights {missing[0]!r}"
            )
        if config.input == "chat" and not self._tokenizer.chat_template:
            raise UserError(f"verify.reward_model: {config.model!r} has no chat template; set input: pair")
        self._label = self._output()
        self._model.to(config.device).eval()
        self._pad = self._padding()

    def _output(self) -> int:
        settings, label = self._model.config, self._config.label
        names = {str(name): int(index) for index, name in settings.id2label.items()}
        if label is None and settings.num_labels == 1:
            return 0
        index = names.get(label) if isinstance(label, str) else label
        if index is None or not 0 <= index < settings.num_labels:
            hint = suggest(str(label), names) or f"its outputs: {', '.join(names)}"
            what = "has several outputs" if label is None else f"has no output {label!r}"
            raise UserError(f"verify.reward_model: {self._config.model!r} {what}; say which with label ({hint})")
        return index

    def _padding(self) -> int | None:
        """The padding token, if it can be told from all others; decoders find the last token by it."""
        pad = self._tokenizer.pad_token_id
        return None if pad is None or pad == self._tokenizer.eos_token_id else int(pad)

    def scores(self, questions: Sequence[Question]) -> list[Scored]:
        encoded = [self._encode(question) for question in questions]
        lengths = [len(ids) for ids in encoded]
        limit, how = self._config.max_length, self._config.too_long
        found: list[Scored | None] = [None] * len(encoded)
        fits = []
        for i, ids in enumerate(encoded):
            if len(ids) > limit and how == "unknown":
                found[i] = Scored(None, 0.0, lengths[i], 0)
            else:
                encoded[i] = ids[-limit:] if how == "drop_start" else ids[:limit]
                fits.append(i)
        for batch in self._batches(fits, encoded):
            for i, (score, chance) in zip(batch, self._forward([encoded[i] for i in batch]), strict=True):
                found[i] = Scored(score, chance, lengths[i], lengths[i] - len(encoded[i]))
        return [each for each in found if each is not None]

    def _encode(self, question: Question) -> list[int]:
        completion = question.completion.encode("utf-8", "replace").decode()
        if self._config.input == "pair":
            pair: list[int] = self._tokenizer(question.prompt[-1][1], completion)["input_ids"]
            return pair
        messages = [
            {"role": role, "content": content} for role, content in (*question.prompt, ("assistant", completion))
        ]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _batches(self, places: Sequence[int], encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Places by length; of one length only where nothing can be padded."""
        batch: list[int] = []
        for place in sorted(places, key=lambda i: len(encoded[i])):
            other = batch and self._pad is None and len(encoded[batch[0]]) != len(encoded[place])
            if len(batch) == self._config.batch_size or other:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _forward(self, texts: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
        """Scores with their chances: one output is a logit, whose sigmoid is its chance; of several the softmax counts
        (or the sigmoid, where the model says that its labels do not exclude each other)."""
        import torch

        longest = max(map(len, texts))
        pad = self._pad if self._pad is not None else 0
        ids = torch.tensor([[*text, *[pad] * (longest - len(text))] for text in texts], device=self._config.device)
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts], device=ids.device)
        if self._pad is not None:
            self._model.config.pad_token_id = self._pad
        elif len(texts) > 1 and self._model.config.pad_token_id is None:
            return [scored for text in texts for scored in self._forward([text])]
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask).logits.float()
        one = logits.shape[1] == 1
        several = self._model.config.problem_type != "multi_label_classification"
        chances = logits.softmax(-1) if not one and several else logits.sigmoid()
        scores = logits if one else chances
        picked = zip(scores[:, self._label].tolist(), chances[:, self._label].tolist(), strict=True)
        return [(float(score), round(float(chance), _DECIMALS)) for score, chance in picked]

"""The tokenizer of the demo policy: byte-level BPE over the text of the demo world.

Invariant: decoding what was encoded gives the same text back for any UTF-8 string; a digit is always one
token and a line feed is always one token, so that neither numbers nor step boundaries depend on what stands
next to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from synthflow.demo.world import generate_problems, reference_solutions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, USER, ASSISTANT = "<|pad|>", "<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, BOS, EOS, USER, ASSISTANT)
VOCAB_SIZE = 768
MAX_LENGTH = 1024
# line feed | digit | operator with its spaces | word | run of anything else | single space
PIECES = r"\n|[0-9]| [-+*/=] | ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s"

# A system message is accepted and not rendered: the policy never saw one.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% elif message['role'] != 'system' %}"
    "{{ raise_exception('unknown role: ' + message['role']) }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def corpus(n_problems: int, seed: int) -> Iterator[str]:
    """Text to learn merges from: train prompts, each with one solution."""
    for problem in generate_problems(n_problems, seed=seed, split="train"):
        yield problem.prompt
        yield "\n".join(reference_solutions(problem, 1, seed)[0])


def train_tokenizer(n_problems: int = 6000, seed: int = 0) -> PreTrainedTokenizerFast:
    """Learns the merges and wraps them with the special tokens and the chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    core.train_from_iterator(corpus(n_problems, seed), trainer)
    options: dict[str, Any] = {
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LENGTH,
        "padding_side": "left",
        "chat_template": CHAT_TEMPLATE,
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        **options,
    )

"""Trains a demo policy: `python -m synthflow.demo.train --out DIR [--world long --init synthflow/demo/policy]`.

Invariant: data order depends on the seed and the step alone; the state that a checkpoint holds is complete
and is replaced atomically, so a killed run continues with `--resume` as if nothing had happened (the
learning-rate schedule follows the minutes spent, which the checkpoint counts too).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.demo.tokenizer import MAX_LENGTH, train_tokenizer
from synthflow.demo.train_data import Example, batch
from synthflow.demo.world import WORLDS

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

MICRO_TOKENS = 2048
MAX_NEW_TOKENS = {"short": 256, "long": 384}  # of the generation config that goes with the weights
WARMUP_STEPS, DECAY_SHARE, FLOOR = 40, 0.7, 0.02
CONTINUED_STEP = 10_000  # where the data of a run with --init begins: past the warm-up, not seen before
LR_MATRICES, LR_REST, WEIGHT_DECAY = 0.02, 3e-3, 0.05


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh Llama of about 2.4 M parameters; heads of 32 so that every attention kernel takes it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_bias=False,
        attn_implementation="sdpa",
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def make_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings and norms."""
    import torch

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=LR_MATRICES, weight_decay=WEIGHT_DECAY, momentum=0.95),
        torch.optim.AdamW(rest, lr=LR_REST, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def lr_factor(step: int, progress: float) -> float:
    """Warm-up by steps, then constant, then linear decay to FLOOR over the last DECAY_SHARE of the time."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    left = max(0.0, 1.0 - progress)
    return warm * max(FLOOR, min(1.0, left / DECAY_SHARE))


def micro_batches(examples: list[Example]) -> list[list[Example]]:
    """Packs length-sorted examples into groups of at most MICRO_TOKENS padded tokens."""
    groups: list[list[Example]] = []
    for example in examples:
        if groups and (len(groups[-1]) + 1) * len(example.ids) <= MICRO_TOKENS:
            groups[-1].append(example)
        else:
            groups.append([example])
    return groups


def group_loss(model: LlamaForCausalLM, group: list[Example], device: torch.device, pad: int) -> torch.Tensor:
    """Sum of the negative log likelihoods (nats) of the solution tokens of one group.

    Right padding needs no attention mask: under causal attention no real token looks at it.
    """
    import torch
    import torch.nn.functional as F

    width = max(len(e.ids) for e in group)
    ids = torch.full((len(group), width), pad, dtype=torch.long)
    keep = torch.zeros((len(group), width), dtype=torch.bool)
    for row, e in enumerate(group):
        ids[row, : len(e.ids)] = torch.tensor(e.ids)
        keep[row, e.n_prompt : len(e.ids)] = True
    ids, keep = ids.to(device), keep.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
        logits = model.lm_head(hidden[keep[:, 1:]])
    return F.cross_entropy(logits.float(), ids[:, 1:][keep[:, 1:]], reduction="sum")


def save_policy(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, max_new_tokens: int = 256
) -> None:
    """Writes bf16 weights, config, generation config and tokenizer into `out`."""
    import copy

    import torch
    from transformers import GenerationConfig

    half = copy.deepcopy(model).to("cpu", torch.bfloat16)
    half.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=max_new_tokens,
    )
    half.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _write_atomic(state: dict[str, Any], path: Path) -> None:
    import torch

    aside = path.with_suffix(".tmp")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


class Run:
    """The state of one training run: model, optimizers, step, seconds spent so far."""

    def __init__(
        self,
        out: Path,
        device_name: str = "cpu",
        seed: int = 0,
        *,
        rank: int = 0,
        workers: int = 1,
        init: Path | None = None,
        world: str = "short",
    ) -> None:
        import torch

        out.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.stable, self.log = out / "checkpoint.pt", out / "stable.pt", out / "log.jsonl"
        self.device = torch.device(device_name)
        self.tokenizer, self.model = self._fresh(seed) if init is None else self._earlier(init)
        self.model.to(self.device)
        self.optimizers = make_optimizers(self.model)
        self.base_rates = [[float(group["lr"]) for group in o.param_groups] for o in self.optimizers]
        self.first_step = 0 if init is None else CONTINUED_STEP + 100_000 * seed
        self.seed, self.step, self.seconds = seed, self.first_step, 0.0
        self.rank, self.workers, self.world = rank, workers, world

    @staticmethod
    def _fresh(seed: int) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
        tokenizer = train_tokenizer()
        return tokenizer, build_model(tokenizer, seed)

    @staticmethod
    def _earlier(folder: Path) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
        from synthflow.demo.sampling import load_policy

        model, tokenizer = load_policy(folder)
        return tokenizer, model

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "seed": self.seed,
        }
        _write_atomic(state, path)

    def load(self, path: Path) -> None:
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["seed"] != self.seed:
            raise SystemExit(f"{path} was trained with --seed {state['seed']}")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def progress(self, budget: float, max_steps: int | None) -> float:
        """Share of the schedule that is done: by steps when there is a limit of steps, else by seconds."""
        return (self.step - self.first_step) / max_steps if max_steps else self.seconds / budget

    def resume(self, budget: float, max_steps: int | None) -> None:
        """Continues from the checkpoint; where its decay began too early for this schedule, from before it."""
        if self.stable.exists():
            self.load(self.stable)
            if self.progress(budget, max_steps) < 0.99 * (1 - DECAY_SHARE):
                return
        if self.checkpoint.exists():
            self.load(self.checkpoint)

    def update(self, factor: float) -> tuple[float, int]:
        """One optimizer step at `factor` of the base rates: (mean loss in nats per token, tokens seen)."""
        import torch

        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        examples = batch(self.tokenizer, self.seed, self.step, self.world)
        n_loss = sum(len(e.ids) - e.n_prompt for e in examples)
        total = 0.0
        for part in micro_batches(examples[self.rank :: self.workers]):
            loss = group_loss(self.model, part, self.device, int(self.tokenizer.pad_token_id))
            (loss / n_loss).backward()
            total += float(loss.item())
        total = self._add_up(total)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total / n_loss, sum(len(e.ids) for e in examples)

    def _add_up(self, loss: float) -> float:
        """Sums gradients and loss over the workers; afterwards all of them take the same step."""
        import torch
        import torch.distributed as dist

        if self.workers == 1:
            return loss
        grads = [p.grad for p in self.model.parameters()]
        flat = torch.cat([torch.tensor([loss]), *(g.flatten() for g in grads)])
        dist.all_reduce(flat)
        at = 1
        for grad in grads:
            grad.copy_(flat[at : at + grad.numel()].view_as(grad))
            at += grad.numel()
        return float(flat[0])

    def agree(self, value: float) -> float:
        """The first worker's value, for decisions that depend on its clock."""
        import torch
        import torch.distributed as dist

        if self.workers == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared[0])


def train(
    out: Path,
    *,
    minutes: float,
    device_name: str = "cpu",
    seed: int = 0,
    resume: bool = False,
    max_steps: int | None = None,
    rank: int = 0,
    workers: int = 1,
    init: Path | None = None,
    rate: float = 1.0,
    world: str = "short",
) -> None:
    """Trains for `minutes` of wall time (or for `max_steps`), then writes the policy into `out`.

    `out/checkpoint.pt` is the latest state; `out/stable.pt` the last one before the learning rate began to
    fall, from which a finished run is prolonged when `--resume` comes with more minutes.
    """
    run = Run(out, device_name, seed, rank=rank, workers=workers, init=init, world=world)
    budget = minutes * 60.0
    if resume:
        run.resume(budget, max_steps)
    run.model.train()
    began, last_save = time.monotonic() - run.seconds, run.seconds
    decaying = run.progress(budget, max_steps) > 1 - DECAY_SHARE
    recent: list[tuple[float, int]] = []
    mark = run.seconds
    while (progress := run.agree(run.progress(budget, max_steps))) < 1.0:
        if not decaying and progress > 1 - DECAY_SHARE:
            decaying = True
            if rank == 0:
                run.save(run.stable)
        factor = rate * lr_factor(run.step - run.first_step, progress)
        recent.append(run.update(factor))
        run.seconds = time.monotonic() - began
        if run.step % 20 == 0 and rank == 0:
            row = {
                "step": run.step,
                "seconds": round(run.seconds, 1),
                "loss": round(sum(loss for loss, _ in recent) / len(recent), 4),
                "lr": round(factor, 4),
                "tokens_per_s": round(sum(n for _, n in recent) / max(1e-9, run.seconds - mark)),
            }
            recent, mark = [], run.seconds
            print(json.dumps(row), flush=True)
            with run.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if run.seconds - last_save > 120 and rank == 0:
            last_save = run.seconds
            run.save(run.checkpoint)
    if rank:
        return
    run.save(run.checkpoint)
    save_policy(run.model, run.tokenizer, out, MAX_NEW_TOKENS[world])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m synthflow.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--max-steps", type=int, default=None, help="a schedule by steps instead of minutes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each (cpu only)")
    parser.add_argument("--init", type=Path, default=None, help="begin with this policy's weights and tokenizer")
    parser.add_argument("--world", choices=tuple(WORLDS), default="short", help="whose problems to learn")
    parser.add_argument("--rate", type=float, default=1.0, help="scales the learning rates")
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--meeting", type=Path, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.workers > 1 and args.device != "cpu":
        parser.error("--workers is for --device cpu")
    # Threads that spin at every barrier cost many times the work itself on cores that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    helpers: list[subprocess.Popen[bytes]] = []
    if args.workers > 1:
        helpers = join_workers(args)
    train(
        args.out,
        minutes=args.minutes,
        device_name=args.device,
        seed=args.seed,
        resume=args.resume,
        max_steps=args.max_steps,
        rank=args.rank,
        workers=args.workers,
        init=args.init,
        rate=args.rate,
        world=args.world,
    )
    for helper in helpers:
        helper.wait()


def join_workers(args: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """Starts the other workers (from the first one) and meets them; every worker computes with one thread."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    helpers: list[subprocess.Popen[bytes]] = []
    if args.rank == 0:
        args.out.mkdir(parents=True, exist_ok=True)
        args.meeting = Path(tempfile.mkdtemp(prefix="synthflow-train-")) / "meeting"
        command = [sys.executable, "-m", "synthflow.demo.train", "--out", str(args.out), "--seed", str(args.seed)]
        command += ["--minutes", str(args.minutes), "--workers", str(args.workers), "--meeting", str(args.meeting)]
        command += ["--resume"] if args.resume else []
        command += ["--init", str(args.init)] if args.init else []
        command += ["--rate", str(args.rate), "--world", args.world]
        command += ["--max-steps", str(args.max_steps)] if args.max_steps else []
        helpers = [subprocess.Popen([*command, "--rank", str(r)]) for r in range(1, args.workers)]
    dist.init_process_group("gloo", init_method=f"file://{args.meeting}", rank=args.rank, world_size=args.workers)
    return helpers


if __name__ == "__main__":
    main()

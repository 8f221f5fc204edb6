"""Engines and GPUs: each engine its own, by CUDA's own rules of what is visible."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.backends import open_backend
from synthflow.contracts import PolicyConfig
from synthflow.errors import UserError
from synthflow.execute import gpus
from synthflow.execute.cluster import ClusterSize, worker_specs
from synthflow.execute.gpus import VISIBLE, Placement, count_gpus, place, visible_gpus
from synthflow.execute.tasks import CPU, ENGINE

EIGHT = tuple(map(str, range(8)))


@pytest.mark.parametrize(
    ("named", "there", "seen"),
    [
        (None, 8, EIGHT),
        (None, 0, ()),
        ("2,3,4,5", 8, ("2", "3", "4", "5")),
        ("5, 2", 8, ("5", "2")),
        ("", 8, ()),
        ("-1", 8, ()),
        ("0,9,1", 8, ("0",)),  # CUDA stops at the first that is not there
        ("NoDevFiles", 8, ()),
        ("0,1", 0, ()),  # no driver, no GPU, whatever the variable says
        ("GPU-5a1b,MIG-77", 1, ("GPU-5a1b", "MIG-77")),
    ],
)
def test_what_is_visible(named: str | None, there: int, seen: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "count_gpus", lambda: there)
    assert visible_gpus({} if named is None else {VISIBLE: named}) == seen


def test_four_engines_of_two_gpus_on_eight() -> None:
    assert place(EIGHT, {"p": 2}, [1]) == Placement(4, ("0,1", "2,3", "4,5", "6,7"))
    assert place(("2", "3", "4", "5"), {"p": 2}, [1]) == Placement(2, ("2,3", "4,5"))
    assert place(EIGHT, {"p": 3}, [1]) == Placement(2, ("0,1,2", "3,4,5"))
    assert place(EIGHT, {"p": 1}, [1]) == Placement(8, EIGHT)
    assert place(EIGHT, {"p": 2}, [1], engines=1) == Placement(1, ("0,1",))


def test_a_worker_holds_every_policy_so_the_largest_counts() -> None:
    assert place(EIGHT, {"judge": 4, "p": 1, "server": 0}, [1, 1, 1]) == Placement(2, ("0,1,2,3", "4,5,6,7"))


def test_without_gpus_the_backend_says_how_many() -> None:
    assert place((), {"p": 2, "q": 1}, [1, 3]) == Placement(3)
    assert place((), {"p": 1}, [1], engines=5) == Placement(5)
    assert place(EIGHT, {"server": 0}, [1]) == Placement(1)


def test_too_few_gpus_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"policy 'big': an engine of 4 GPUs .* does not fit: 2 are visible \(6,7\)"):
        place(("6", "7"), {"p": 1, "big": 4}, [1])
    with pytest.raises(UserError, match=r"execution.engines: 5 engines of 2 GPUs each do not fit: 8 are visible .* 4"):
        place(EIGHT, {"p": 2}, [1], engines=5)


@given(st.integers(1, 16), st.integers(1, 4), st.none() | st.integers(1, 8))
def test_no_gpu_is_dealt_twice(there: int, each: int, engines: int | None) -> None:
    names = [f"GPU-{i}" for i in range(there)]
    try:
        placed = place(names, {"p": each}, [1], engines)
    except UserError:
        assert each * (engines or 1) > there
        return
    dealt = [gpu for visible in placed.visible for gpu in visible.split(",")]
    assert len(placed.visible) == placed.engines
    assert dealt == names[: placed.engines * each]
    assert engines is not None or len(names) - len(dealt) < each


@pytest.mark.parametrize(
    ("backend", "options", "each"),
    [
        ("vllm", {}, 1),
        ("vllm", {"tensor_parallel_size": 2}, 2),
        ("vllm", {"tensor_parallel_size": 2, "engine_args": {"pipeline_parallel_size": 2}}, 4),
        ("transformers", {}, 1),
        ("transformers", {"device": "cpu"}, 0),
        ("transformers", {"device": "cuda:1"}, 0),  # chosen by the user
        ("replay", {}, 0),
        ("openai", {"base_url": "http://127.0.0.1:9/v1"}, 0),
    ],
)
def test_backends_say_what_an_engine_takes(backend: str, options: dict[str, Any], each: int) -> None:
    assert open_backend(PolicyConfig(backend=backend, model="demo", options=options)).gpus_per_engine() == each


def test_workers_of_a_local_cluster_are_told_their_gpus_and_their_kind() -> None:
    placed = place(EIGHT, {"p": 2}, [1])
    specs = worker_specs(ClusterSize(cpu=2, engines=placed.engines, partitions=8, gpus=placed.visible))
    options = {name: spec["options"] for name, spec in specs.items()}
    seen = {name: o["env"][VISIBLE] for name, o in options.items() if VISIBLE in o["env"]}
    assert seen == {"engine-0": "0,1", "engine-1": "2,3", "engine-2": "4,5", "engine-3": "6,7"}
    # A worker offers one resource, and every task asks for one: stages never run where an engine is.
    assert {name: set(o["resources"]) for name, o in options.items()} == {
        **{f"cpu-{i}": {CPU} for i in range(2)},
        **{f"engine-{i}": {ENGINE} for i in range(4)},
    }


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpus.ctypes, "CDLL", missing)
    assert count_gpus() == 0


class _Nvml:
    """NVIDIA's library as the driver's process sees it; a fault is a status that is not zero."""

    def __init__(self, gpus: int, *, init: int = 0, count: int = 0) -> None:
        self.gpus, self.init, self.count, self.open = gpus, init, count, 0

    def nvmlInit_v2(self) -> int:
        self.open += self.init == 0
        return self.init

    def nvmlDeviceGetCount_v2(self, found: Any) -> int:
        found._obj.value = self.gpus
        return self.count

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0


@pytest.mark.parametrize(("library", "counted"), [(_Nvml(4), 4), (_Nvml(4, init=9), 0), (_Nvml(4, count=999), 0)])
def test_the_management_library_is_asked_and_closed(
    library: _Nvml, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus.ctypes, "CDLL", lambda name: library)
    assert count_gpus() == counted
    assert library.open == 0

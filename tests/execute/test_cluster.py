"""Finding a scheduler that runs already: what is not one is said in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from synthflow.errors import UserError
from synthflow.execute.cluster import ClusterSize, connected, lend_engines, partitions_for
from synthflow.execute.tasks import CPU, ENGINE

SIZE = ClusterSize(cpu=1, engines=1, partitions=4)


def _connect(where: str, folder: Path, told: list[str]) -> None:
    with connected(SIZE, where, folder, wait_s=0.6, tell=told.append):
        raise AssertionError("nothing runs there")


def test_a_scheduler_file_that_nobody_writes_is_waited_for_and_then_named(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(UserError, match=r"missing.json: there is no such file.*--scheduler-file"):
        _connect(str(tmp_path / "missing.json"), tmp_path, told)
    assert told and "missing.json" in told[0]


@pytest.mark.parametrize("text", ['["no", "address"]', "{}", "not JSON", ""])
def test_a_file_that_no_scheduler_wrote(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UserError, match="not a file that `dask scheduler"):
        _connect(str(tmp_path / "other.json"), tmp_path, [])


def test_engines_are_lent_to_stages_one_at_a_time(tmp_path: Path) -> None:
    def here(number: int) -> str:
        from distributed import get_worker

        return str(get_worker().name)

    with connected(SIZE, None, tmp_path) as client:
        engine = [name for name, worker in client.scheduler_info()["workers"].items() if ENGINE in worker["resources"]]
        assert {each.result(timeout=60) for each in client.map(here, range(8), resources={CPU: 1})} == {"cpu-0"}
        lend_engines(client)
        assert client.submit(here, 9, resources={CPU: 1}, workers=engine).result(timeout=60) == "engine-0"
        assert client.scheduler_info()["workers"][engine[0]]["resources"][CPU] == 1


def test_partitions_in_flight_by_workers() -> None:
    assert [partitions_for(n) for n in (1, 2, 3, 40)] == [4, 4, 6, 80]


def test_a_process_can_have_one_cluster_after_another(tmp_path):
    """Dask's settings of the first must not take the defaults of the second with them."""
    code = """
import sys
import subprocess
import sys
from pathlib import Path
from synthflow.execute.cluster import ClusterSize, connected
assert "distributed" not in sys.modules
for _ in range(2):
    with connected(ClusterSize(cpu=1, engines=0, partitions=1), None, Path(sys.argv[1])) as client:
        print(client.submit(pow, 2, 5).result())
"""
    made = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert made.stdout.split() == ["32", "32"], made.stderr

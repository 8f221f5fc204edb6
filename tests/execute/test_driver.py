"""The driver ends with nothing owed, or says what is."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from synthflow.errors import InvariantBroken
from synthflow.execute.driver import Driver, Watcher
from synthflow.execute.stopping import Stopper
from synthflow.execute.tasks import RunContext
from synthflow.stores.graph import ALL, StageRecord
from synthflow.stores.manifest import Commit, Manifest

STAGES = [
    StageRecord("problems", "source.x", "1", "f_1", "source", (), ("problems",), {}),
    StageRecord("ranks", "curriculum.x", "1", "f_2", "whole", ("problems",), ("scores",), {}),
]


@pytest.mark.parametrize("committed", [True, False])
def test_a_run_that_passes_over_a_unit_does_not_end_as_done(
    committed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that believes a file of `tables/`, or anything but a commit, hands that unit to nobody."""
    manifest = Manifest(tmp_path)
    manifest.open_attempt(STAGES, {})
    manifest.set_partitions("problems", ["q_1"], None)
    for stage, unit in [("problems", "q_1"), ("ranks", ALL)][: 1 + committed]:
        record = manifest.graph.stages[stage]
        key = manifest.graph.key(stage, unit)
        manifest.commit(Commit(stage, record.fingerprint, record.stage_id, unit, key, 1, (), {}))
    monkeypatch.setattr(Driver, "_chains", lambda driver, stages: iter(()))
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        lent: list[bool] = []
        context, lend = RunContext(tmp_path, 1, 0, 0, {}, {}), lambda: lent.append(True)
        driver = Driver(client, manifest, context, 1, Watcher(), Stopper(), ["rollouts"], lend)
        if committed:
            driver.run()
        else:
            with pytest.raises(InvariantBroken, match="1 units of work were passed over, the first in stage 'ranks'"):
                driver.run()
    assert lent == [True], "nothing that samples is left"

"""A made-up run on disk: measured, as shards, with its catalog."""

from __future__ import annotations

from pathlib import Path

from support.made_up_run import FakeServices, World
from synthflow.schema import STAGES
from synthflow.stages.measure.qdc import MeasureQdc, QdcConfig
from synthflow.stores.catalog.build import build_catalog
from synthflow.stores.shards import write_shard

STAGE_IDS = {"verdicts": "e_math", "second": "e_exact"}


def written(run: Path, world: World) -> Path:
    """The world as shards of a run, each table in two, with stages and measurements, and its catalog."""
    config = QdcConfig(use="measure.qdc", of=("pairs",), verdicts="verdicts")
    world.rows["report"] = {}
    tables = world.tables()
    tables["report"] = dict(MeasureQdc("report", config).run(world.inputs(), FakeServices()))
    tables["run"] = {
        "stages": STAGES.from_rows(
            [
                {
                    "stage_id": STAGE_IDS.get(a.name, f"e_{a.name}"), "name": a.name, "use": a.use, "version": "1",
                    "fingerprint": "f", "parents": list(a.parents), "config": "{}",
                }
                for a in world.ancestors
            ]
        )
    }  # fmt: skip
    shards: dict[str, list[str]] = {}
    for stage, by_table in tables.items():
        for table, rows in by_table.items():
            half = max(1, rows.num_rows // 2)
            for i, part in enumerate((rows.slice(0, half), rows.slice(half))):
                shards.setdefault(table, []).append(write_shard(run, table, part, f"{stage}-f", f"part-{i}").path)
    build_catalog(run, shards)
    return run

"""Types and columns that several tables share."""

from __future__ import annotations

import pyarrow as pa

from synthflow.schema.spec import Column

STRING, I32, I64, F32, F64, BOOL = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()
MESSAGES = pa.list_(pa.struct([pa.field("role", STRING), pa.field("content", STRING)]))
SPANS = pa.list_(pa.struct([pa.field("author", STRING), pa.field("start", I32), pa.field("end", I32)]))
I32S, F32S = pa.list_(I32), pa.list_(F32)


PROBLEM_ID = Column("problem_id", STRING, "the problem this row belongs to")
STAGE_ID = Column("stage_id", STRING, "H(stage name, fingerprint) of the stage that wrote this row")

"""The contracts that stages, backends and verifiers are written against. Frozen: see docs/contracts.md."""

from synthflow.contracts.backend import (
    UNANSWERED,
    Backend,
    FinishReason,
    PolicyConfig,
    PolicyIdentity,
    SampleRequest,
    SampleResult,
    SamplingParams,
)
from synthflow.contracts.filter import Filter, FilterConfig
from synthflow.contracts.inputs import Inputs, MemoryInputs
from synthflow.contracts.renderer import Renderer
from synthflow.contracts.stage import (
    Account,
    Coverage,
    Earlier,
    Estimate,
    ExportStage,
    OneOrMore,
    Services,
    Stage,
    StageConfig,
    VerifyConfig,
    Volume,
)
from synthflow.contracts.stage_info import Capability, StageInfo
from synthflow.contracts.step_checker import StepChecker, StepKind, StepTruth
from synthflow.contracts.verifier import (
    Candidate,
    Explanation,
    Judgement,
    Part,
    Question,
    Verifier,
    VerifierConfig,
)

__all__ = [
    "UNANSWERED",
    "Account",
    "Backend",
    "Candidate",
    "Capability",
    "Coverage",
    "Earlier",
    "Estimate",
    "Explanation",
    "ExportStage",
    "Filter",
    "FilterConfig",
    "FinishReason",
    "Inputs",
    "Judgement",
    "MemoryInputs",
    "OneOrMore",
    "Part",
    "PolicyConfig",
    "PolicyIdentity",
    "Question",
    "Renderer",
    "SampleRequest",
    "SampleResult",
    "SamplingParams",
    "Services",
    "Stage",
    "StageConfig",
    "StageInfo",
    "StepChecker",
    "StepKind",
    "StepTruth",
    "Verifier",
    "VerifierConfig",
    "VerifyConfig",
    "Volume",
]

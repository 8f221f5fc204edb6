"""A pipeline: the checked graph of stages that a spec describes, built from YAML or in Python.

Invariant: two pipelines are equal if `resolved()` is, which holds every field with its default written out and no
absolute folder, so that a spec, its resolved form and the same built in Python are one pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from synthflow.contracts import PolicyConfig, StageConfig, StageInfo
from synthflow.errors import Mistakes
from synthflow.spec import graph
from synthflow.spec.document import Document, check_values, plain
from synthflow.spec.explain import check_bools, explain
from synthflow.spec.models import ExecutionSpec, PipelineSpec
from synthflow.spec.nodes import Node, check_params, check_scorers, check_tokens, read_nodes
from synthflow.spec.policies import read_policies
from synthflow.spec.yaml_text import scalar


class Pipeline:
    """Made by `load_pipeline` or `Pipeline.build`; never changed afterwards.

    Attributes:
        name, seed, round, execution: as in the spec.
        policies: by name; `default` is what `policy:` says.
        nodes: the stages in topological order.
        spec_text: the spec as given; overrides: the `-o` texts that were applied to it.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        policies: Mapping[str, PolicyConfig],
        policies_resolved: Mapping[str, Mapping[str, Any]],
        nodes: Mapping[str, Node],
        spec_text: str,
        overrides: Sequence[str] = (),
    ) -> None:
        self.name, self.seed, self.round = spec.name, spec.seed, spec.round
        self.execution: ExecutionSpec = spec.execution
        self.policies = dict(policies)
        self.spec_text, self.overrides = spec_text, tuple(overrides)
        self._policies_resolved = policies_resolved
        self._in_spec_order = tuple(nodes.values())
        self._parents = {name: node.parents for name, node in nodes.items()}
        self._by_name = dict(nodes)
        self.nodes: tuple[Node, ...] = tuple(nodes[name] for name in graph.topological(self._parents))

    @classmethod
    def from_document(
        cls, document: Document, base_dir: Path, spec_text: str | None = None, overrides: Sequence[str] = ()
    ) -> Pipeline:
        """Check all of `document` and build it.

        Raises:
            Mistakes: everything that is wrong, each with its place.
        """
        check_values(document)
        spec = None
        try:
            spec = PipelineSpec.model_validate(document.data)
        except ValidationError as error:
            explain(document, (), error, PipelineSpec)
        else:
            check_bools(document, (), {k: v for k, v in document.data.items() if k != "stages"}, spec.model_dump())
        policies, written_out, declared = read_policies(document, base_dir)
        nodes = read_nodes(document, declared, base_dir)
        check_scorers(document, nodes, policies)
        check_tokens(document, nodes, policies)
        check_params(document, nodes, policies)
        if document.found or spec is None:
            raise Mistakes(document.in_order(), document.label)
        text = spec_text if spec_text is not None else _dump(document.data)
        return cls(spec, policies, written_out, nodes, text, overrides)

    @classmethod
    def build(
        cls,
        name: str,
        stages: Mapping[str, Mapping[str, Any] | StageConfig],
        policy: Mapping[str, Any] | PolicyConfig | None = None,
        policies: Mapping[str, Mapping[str, Any] | PolicyConfig] | None = None,
        *,
        seed: int = 0,
        round: int = 0,
        execution: Mapping[str, Any] | ExecutionSpec | None = None,
        base_dir: str | Path = ".",
    ) -> Pipeline:
        """The same as a pipeline file, in Python.

        Args:
            stages: fields of each stage, or its Config; the order is the order of the spec.
            base_dir: what relative paths are relative to.

        Raises:
            Mistakes: as for a file; places are dotted fields.
        """
        data: dict[str, Any] = {"name": name, "seed": seed, "round": round}
        if policy is not None:
            data["policy"] = _flat(policy)
        if policies is not None:
            data["policies"] = {str(key): _flat(value) for key, value in policies.items()}
        data["stages"] = {str(key): plain(_as_given(value)) for key, value in stages.items()}
        if execution is not None:
            data["execution"] = plain(execution)
        return cls.from_document(Document(str(name), data), Path(base_dir).resolve())

    def __getitem__(self, name: str) -> Node:
        """The stage called `name`."""
        return self._by_name[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self.resolved() == other.resolved()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, stages={[node.name for node in self.nodes]})"

    def ancestors(self, node: Node | str) -> list[Node]:
        """All stages that `node` builds on, topologically, its parents as late as that allows."""
        name = node if isinstance(node, str) else node.name
        return [self._by_name[other] for other in graph.ancestors(name, self._parents)]

    def children(self, node: Node | str) -> list[Node]:
        """The stages that name `node` in their `of`, topologically."""
        name = node if isinstance(node, str) else node.name
        return [other for other in self.nodes if name in other.parents]

    def infos(self, node: Node | str) -> list[StageInfo]:
        """`ancestors` as stages may see them: for `Stage.check` and `Inputs.ancestors`."""
        return [other.info() for other in self.ancestors(node)]

    def narrowed(self, nodes: Mapping[str, Node], execution: ExecutionSpec) -> Pipeline:
        """The same pipeline with fewer stages, or with others in their place; `nodes` holds all that they read."""
        given = {name: dict(node.given) for name, node in nodes.items()}
        spec = PipelineSpec.model_construct(
            name=self.name, seed=self.seed, round=self.round, stages=given, execution=execution
        )
        return Pipeline(spec, self.policies, self._policies_resolved, nodes, self.spec_text, self.overrides)

    def resolved(self) -> dict[str, Any]:
        """The spec with everything explicit: nulls kept, paths as given. Reading it again gives an equal pipeline."""
        return {
            "name": self.name,
            "seed": self.seed,
            "round": self.round,
            "policies": {name: dict(fields) for name, fields in self._policies_resolved.items()},
            "stages": {node.name: dict(node.given) for node in self._in_spec_order},
            "execution": self.execution.model_dump(mode="json"),
        }

    def to_yaml(self) -> str:
        """`resolved()` as a pipeline file."""
        return _dump(self.resolved())


def _as_given(value: Any) -> Any:
    """A Config's fields as set, so that defaults of a later version still apply to what was left out."""
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value


def _flat(policy: Any) -> Any:
    if isinstance(policy, PolicyConfig):
        return {"backend": policy.backend, "model": policy.model, **plain(policy.options)}
    return plain(policy)


class _Dumper(yaml.SafeDumper):
    """Writes text so that `yaml_text`, which follows YAML 1.2, reads it as text again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "'" if not isinstance(scalar(data), str) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)


def _dump(data: Mapping[str, Any]) -> str:
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

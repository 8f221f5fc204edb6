"""The YAML of docs/clusters.md: held against the operator's own definitions, and its commands run as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.runs import assert_same_rows, write_spec

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
CRDS = "operator/deployment/helm/dask-kubernetes-operator/crds"


def _documents() -> dict[str, Any]:
    """The page's resources by kind."""
    (text,) = re.findall(r"^```yaml\n(apiVersion.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@cache
def _definition(name: str) -> dict[str, Any]:
    """The JSON Schema of one of the operator's resources, as it is installed into a cluster."""
    text = files("dask_kubernetes").joinpath(f"{CRDS}/{name}.yaml").read_text()
    crd = yaml.load(text, Loader=yaml.CSafeLoader)  # ten thousand lines
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _unknown(schema: Mapping[str, Any], value: Any, at: str = "") -> Iterator[str]:
    """Fields that the schema does not know, which a cluster would silently drop."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unknown(schema.get("items", {}), item, f"{at}[{i}]")
    elif isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            if key not in schema["properties"]:
                yield f"{at}.{key}"
            else:
                yield from _unknown(schema["properties"][key], item, f"{at}.{key}")


def _pod_schema() -> dict[str, Any]:
    group = _definition("daskworkergroup")["properties"]["spec"]["properties"]["worker"]
    schema: dict[str, Any] = group["properties"]["spec"]
    return schema


def _check(schema: Mapping[str, Any], value: Any) -> None:
    jsonschema.validate(value, schema)
    assert list(_unknown(schema, value)) == []


@pytest.mark.parametrize("kind", ["DaskCluster", "DaskWorkerGroup"])
def test_the_operator_takes_its_resources(kind: str) -> None:
    document = _documents()[kind]
    _check(_definition(kind.lower())["properties"]["spec"], document["spec"])
    for wrong in ({"spec": {}}, {**document["spec"], "worker": {"replicas": "many"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, _definition(kind.lower())["properties"]["spec"])


def test_the_job_is_a_pod_that_mounts_what_the_workers_mount() -> None:
    found = _documents()
    job = found["Job"]["spec"]["template"]["spec"]
    _check(_pod_schema(), job)
    pods = [found["DaskCluster"]["spec"]["worker"]["spec"], found["DaskWorkerGroup"]["spec"]["worker"]["spec"], job]
    for pod in pods:
        (container,) = pod["containers"]
        assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]
        assert pod["volumes"][0]["persistentVolumeClaim"] == {
            "claimName": found["PersistentVolumeClaim"]["metadata"]["name"]
        }
    assert found["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_service_is_the_operators_own() -> None:
    from dask_kubernetes.operator import make_cluster_spec

    cluster = _documents()["DaskCluster"]
    name = cluster["metadata"]["name"]
    theirs = make_cluster_spec(name)["spec"]["scheduler"]["service"]
    ours = cluster["spec"]["scheduler"]["service"]
    assert (ours["type"], ours["selector"]) == (theirs["type"], theirs["selector"])
    assert ours["ports"] == [{k: v for k, v in port.items() if k != "protocol"} for port in theirs["ports"]]
    assert _documents()["DaskWorkerGroup"]["spec"]["cluster"] == name
    assert f"tcp://{name}-scheduler:8786" in _documents()["Job"]["spec"]["template"]["spec"]["containers"][0]["args"]


def _worker(kind: str) -> dict[str, Any]:
    """The container of a worker, with the environment that the operator's own code gives it."""
    from dask_kubernetes.operator.controller.controller import build_worker_deployment_spec

    document = _documents()[kind]
    pod = document["spec"]["worker"]["spec"]
    deployment = build_worker_deployment_spec(kind.lower(), "default", "synthflow", "0", pod, {}, {})
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _words(container: Mapping[str, Any]) -> list[str]:
    """Command and arguments with $(NAME) replaced, as Kubernetes does."""
    environment = {e["name"]: e["value"] for e in container.get("env", [])}
    words = [*container["command"], *container.get("args", [])]
    return [re.sub(r"\$\((\w+)\)", lambda m: environment[m[1]], word) for word in words]


def test_engines_take_gpus_and_cpu_workers_none() -> None:
    engine, cpu = _worker("DaskWorkerGroup"), _worker("DaskCluster")
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert all("nvidia.com/gpu" not in amounts for amounts in cpu["resources"].values())
    for container, resource in ((engine, "synthflow_engine=1000"), (cpu, "synthflow_cpu=1000")):
        words = _words(container)
        assert words[:3] == ["dask", "worker", "tcp://synthflow-scheduler.default.svc.cluster.local:8786"]
        assert words[words.index("--resources") + 1] == resource
        assert {"name": "DASK_DISTRIBUTED__WORKER__DAEMON", "value": "False"} in container["env"]


def _start(container: Mapping[str, Any], here: Mapping[str, str], cwd: Path, **kwargs: Any) -> subprocess.Popen[bytes]:
    """Run a container's command on this machine, its names and paths replaced by those `here`."""
    words = _words(container)
    for there, replacement in here.items():
        words = [word.replace(there, replacement) for word in words]
    program = str(Path(sys.executable).with_name(words[0]))
    environment = {e["name"]: e["value"] for e in container.get("env", []) if e["name"] != "HF_HOME"}
    return subprocess.Popen(
        [program, *words[1:]], cwd=cwd, env={**os.environ, **environment}, start_new_session=True, **kwargs
    )


@pytest.mark.extended
@pytest.mark.slow
def test_the_commands_of_the_containers_run(
    replay_spec: dict[str, object], replay_run: Path, tmp_path: Path, free_port: int
) -> None:
    found = _documents()
    write_spec(tmp_path / "pipeline.yaml", replay_spec)
    here = {
        "tcp://synthflow-scheduler.default.svc.cluster.local:8786": f"tcp://127.0.0.1:{free_port}",
        "tcp://synthflow-scheduler:8786": f"tcp://127.0.0.1:{free_port}",
        "8786": str(free_port),
        "/shared": str(tmp_path),
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = found["DaskCluster"]["spec"]["scheduler"]["spec"]["containers"][0]
    processes = [
        _start(c, here, tmp_path, **quiet) for c in (scheduler, _worker("DaskCluster"), _worker("DaskWorkerGroup"))
    ]
    try:
        driver = _start(
            found["Job"]["spec"]["template"]["spec"]["containers"][0], here, tmp_path, stdout=-1, stderr=subprocess.PIPE
        )
        processes.append(driver)
        _, said = driver.communicate(timeout=200)
        assert driver.returncode == 0, said.decode()
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert_same_rows(replay_run, tmp_path / "runs" / "big")

"""deploy/kubernetes, as far as it can be checked without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.roles.stages import STOP_MARGIN_S

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"
KINDS: dict[str, type[Section]] = {
    "im-core": CoreConfig,
    "im-business": BusinessConfig,
    "im-admin": AdminConfig,
}
#: The oldest that the files are for, and the newest that is known.
VERSIONS = ("1.28", kubernetes_validate.latest_version())


def documents() -> list[dict[str, Any]]:
    """Everything that `kubectl apply -k` would send."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [each for name in listed for each in yaml.safe_load_all((FOLDER / name).read_text())]


class Manifests(SynchronousTestCase):
    """All files together."""

    def setUp(self) -> None:
        self.documents = documents()
        self.sets = {each["metadata"]["name"]: each["spec"] for each in self.of("StatefulSet")}
        self.pods = {name: spec["template"]["spec"] for name, spec in self.sets.items()}
        self.containers = {name: pod["containers"][0] for name, pod in self.pods.items()}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.documents if each["kind"] == kind]

    def test_schema(self) -> None:
        """Each is what Kubernetes itself describes, without a key that it does not know."""
        for version in VERSIONS:
            for document in self.documents:
                kubernetes_validate.validate(document, version, strict=True)

    def test_all_files(self) -> None:
        """No file is forgotten, and each role is there with its name in all places."""
        listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
        self.assertEqual({*listed, "kustomization.yaml"}, {path.name for path in FOLDER.iterdir()})
        self.assertEqual(self.sets.keys(), KINDS.keys())
        for name, spec in self.sets.items():
            label = {"app.kubernetes.io/name": name}
            self.assertEqual(self.containers[name]["args"], [name])
            self.assertEqual(spec["selector"]["matchLabels"], label)
            self.assertEqual(spec["template"]["metadata"]["labels"], label)
            headless = {
                each["metadata"]["name"]: each["spec"]["selector"]
                for each in self.of("Service")
                if each["spec"].get("clusterIP") == "None"
            }
            self.assertEqual(headless[spec["serviceName"]], label)

    def environment(self, name: str) -> dict[str, str]:
        """What the container of a pod finds, as its second replica."""
        maps = {each["metadata"]["name"]: each["data"] for each in self.of("ConfigMap")}
        container = self.containers[name]
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            found |= maps[source["configMapRef"]["name"]]
        (node_id,) = container["env"]
        self.assertEqual(
            node_id["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']"
        )
        return found | {node_id["name"]: "1"}

    def test_configuration_loads(self) -> None:
        """Every key exists and has a good value; every file that one names is in a volume."""
        for name, kind in KINDS.items():
            folder = Path(self.mktemp())
            folder.mkdir()
            mounts = {each["mountPath"]: each["name"] for each in self.containers[name]["volumeMounts"]}
            environment = self.environment(name)
            for key, value in environment.items():
                if value.startswith("/"):
                    place = value if value in mounts else value.rpartition("/")[0]
                    self.assertIn(place, mounts, f"{name}: {key}")
                    if place != value:
                        file = folder / value.rpartition("/")[2]
                        file.write_text("0123456789abcdef" * 4)
                        file.chmod(0o440)
                        environment[key] = str(file)
            config: Any = load("", environment, kind)
            self.assertEqual(config.node_id, 1)
            ports = {each["name"]: each["containerPort"] for each in self.containers[name]["ports"]}
            self.assertTrue(config.listen.http.endswith(f":{ports['http']}"))
            self.assertTrue(config.metrics.listen.endswith(f":{ports['metrics']}"))
            if "tcp" in ports:
                self.assertTrue(config.listen.tcp.endswith(f":{ports['tcp']}"))

    def test_secrets(self) -> None:
        """Passwords are files of Secrets that nobody ships, and nothing that looks like one is written down."""
        self.assertEqual(self.of("Secret"), [])
        for name, pod in self.pods.items():
            (secret,) = (each["secret"] for each in pod["volumes"] if "secret" in each)
            self.assertEqual(secret, {"secretName": name, "defaultMode": 0o440})
            for key, value in self.environment(name).items():
                if "PASSWORD" in key or "TOKEN" in key:
                    self.assertRegex(value, r"^/run/imd/[a-z.]+$", f"{name}: {key}")
        # The files that are named are the ones that the instructions make.
        instructions = (FOLDER / "kustomization.yaml").read_text()
        for name in KINDS:
            for value in self.environment(name).values():
                if value.startswith("/run/imd/"):
                    made = instructions.partition(f"secret generic {name} ")[2].partition("\n#   kubectl")[0]
                    self.assertIn(f"--from-file={value.removeprefix('/run/imd/')}", made)

    def test_nobody_is_root(self) -> None:
        """No root, no capabilities, no writing but to what is mounted for it, no token of the cluster's."""
        for name, pod in self.pods.items():
            self.assertEqual(pod["automountServiceAccountToken"], False, name)
            self.assertEqual(
                (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["seccompProfile"]),
                (True, {"type": "RuntimeDefault"}),
                name,
            )
            self.assertEqual(
                self.containers[name]["securityContext"],
                {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                name,
            )

    def test_probes(self) -> None:
        """Alive and ready are asked on the port that answers; a drain has the time that it takes."""
        for name, container in self.containers.items():
            asked = {
                kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")
            }
            alive = {"path": "/healthz", "port": "http"}
            self.assertEqual(
                asked, {"startup": alive, "liveness": alive, "readiness": {"path": "/readyz", "port": "http"}}
            )
            (command, pause_s) = container["lifecycle"]["preStop"]["exec"]["command"]
            self.assertEqual(command, "sleep")
            drain_s = CoreConfig().gateway.drain_timeout_s if name == "im-core" else 0
            grace_s = self.pods[name]["terminationGracePeriodSeconds"]
            self.assertGreater(grace_s, int(pause_s) + drain_s + STOP_MARGIN_S)

    def test_disruptions(self) -> None:
        """Where there are several pods, no more than one goes at a time."""
        budgets = {each["metadata"]["name"]: each["spec"] for each in self.of("PodDisruptionBudget")}
        self.assertEqual(budgets.keys(), {name for name, spec in self.sets.items() if spec["replicas"] > 1})
        for name, budget in budgets.items():
            self.assertEqual(budget["maxUnavailable"], 1)
            self.assertEqual(budget["selector"], self.sets[name]["selector"])

    def test_network(self) -> None:
        """Nothing is open by itself, and what is opened is what each role listens on and connects to."""
        policies = {each["metadata"]["name"]: each["spec"] for each in self.of("NetworkPolicy")}
        self.assertEqual(policies.pop("nobody"), {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        everybody = policies.pop("everybody")
        self.assertEqual(policies.keys(), KINDS.keys())
        for name, policy in policies.items():
            self.assertEqual(policy["podSelector"], self.sets[name]["selector"])
            opened = {
                port["port"] for rule in (*policy["ingress"], *everybody["ingress"]) for port in rule["ports"]
            }
            self.assertEqual(opened, {each["name"] for each in self.containers[name]["ports"]})
            reached = {
                port["port"] for rule in (*policy["egress"], *everybody["egress"]) for port in rule["ports"]
            }
            said = json.dumps(self.environment(name))
            engines = {port for port in (4222, 27017, 6379, 3306) if f":{port}" in said}
            self.assertEqual(reached, {53, *engines}, name)

"""The Kubernetes overlays, rendered by `kubectl kustomize`: compared with schemas, and their network rules evaluated.

No cluster runs here. Kubernetes' own kinds have schemas from the package kubernetes-validate, PodMonitor has the one of
cloudcoil's package. No package has current schemas of the Gateway API and Envoy Gateway, so FIELDS below lists the fields
that the overlay may use: a field that is not listed fails the test, but the list itself is only as right as its author."""

import copy
import ipaddress
import subprocess
from functools import cache

import jsonschema
import kubernetes_validate
import pytest
import yaml
from attributes import ANNOTATIONS, LOAD_BALANCER_ATTRIBUTES, TARGET_GROUP_ATTRIBUTES
from cloudcoil.models.prometheus_operator.v1 import PodMonitor
from conftest import DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = {
    path.parent.name: path.parent for path in KUBERNETES.glob("**/kustomization.yaml") if path.parent.name != "base"
}
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
# The kinds of every overlay, and those that it adds.
BASE = {
    "Namespace",
    "Deployment",
    "Service",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "NetworkPolicy",
}
ADDED = {
    "kubernetes": set(),
    "monitoring": {"PodMonitor"},
    "ingress-nginx": {"ConfigMap"},
    "gateway": {"GatewayClass", "Gateway", "TCPRoute", "EnvoyProxy", "ClientTrafficPolicy", "BackendTrafficPolicy"},
}

# Gateway API 1.6 and Envoy Gateway 1.9, compared by hand with the CRDs in Envoy Gateway's chart gateway-crds-helm. A dict
# is an object with these fields, a list holds the one form of all entries, a set the values that are allowed.
REFERENCE = {"group": str, "kind": str, "name": str}
FIELDS = {
    ("gateway.networking.k8s.io/v1", "GatewayClass"): {"controllerName": str},
    ("gateway.networking.k8s.io/v1", "Gateway"): {
        "gatewayClassName": str,
        "infrastructure": {"parametersRef": REFERENCE},
        "listeners": [
            {
                "name": str,
                "protocol": {"HTTP", "HTTPS", "TCP", "TLS", "UDP"},
                "port": int,
                "allowedRoutes": {"kinds": [{"kind": str}]},
            }
        ],
    },
    ("gateway.networking.k8s.io/v1", "TCPRoute"): {
        "parentRefs": [{"name": str, "sectionName": str}],
        "rules": [{"backendRefs": [{"name": str, "port": int}]}],
    },
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"): {
        "provider": {
            "type": {"Kubernetes", "Host"},
            "kubernetes": {
                "envoyService": {
                    "type": {"ClusterIP", "LoadBalancer", "NodePort"},
                    "loadBalancerClass": str,
                    "annotations": dict,
                }
            },
        }
    },
    ("gateway.envoyproxy.io/v1alpha1", "ClientTrafficPolicy"): {
        "targetRefs": [REFERENCE],
        "proxyProtocol": {"optional": bool},
    },
    ("gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy"): {
        "targetRefs": [REFERENCE],
        "proxyProtocol": {"version": {"V1", "V2"}},
    },
}


@cache
def overlay(name):
    """The manifests that `kubectl apply -k` would apply."""
    command = ["kubectl", "kustomize", OVERLAYS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # kubectl warns of deprecated fields.
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def one(name, kind):
    """The one manifest of a kind in an overlay."""
    (found,) = [document for document in overlay(name) if document["kind"] == kind]
    return found


def job():
    """The load generator's Job, which is in no overlay."""
    return yaml.safe_load((KUBERNETES / "loadtest.yaml").read_text())


def container(workload):
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return only


def environment(workload):
    return {variable["name"]: variable["value"] for variable in container(workload)["env"]}


def strict_schema(model):
    """The JSON Schema of a model, with every object closed: a misspelt field is an error."""
    schema = model.model_json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        if "properties" in definition:
            definition["additionalProperties"] = False
    return schema


def differences(value, form, path):
    """The places at which a value does not have its form in FIELDS."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{path}: an object is wanted"]
        unknown = [f"{path}.{key}: no such field" for key in value if key not in form]
        known = [key for key in value if key in form]
        return unknown + [d for key in known for d in differences(value[key], form[key], f"{path}.{key}")]
    if isinstance(form, list):
        if not isinstance(value, list) or not value:
            return [f"{path}: a list is wanted"]
        return [d for index, entry in enumerate(value) for d in differences(entry, form[0], f"{path}[{index}]")]
    if isinstance(form, set):
        return [] if value in form else [f"{path}: one of {sorted(form)} is wanted"]
    return [] if type(value) is form else [f"{path}: {form.__name__} is wanted"]


def check(document, version):
    """Raises if a manifest does not fit the strict schema of its kind."""
    fields = FIELDS.get((document["apiVersion"], document["kind"]))
    if fields:
        assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
        assert differences(document["spec"], fields, "spec") == []
    elif document["kind"] == "PodMonitor":
        jsonschema.validate(document, strict_schema(PodMonitor))
    else:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_fit_kubernetes_strictly(name, version):
    for document in overlay(name):
        check(document, version)


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_load_generators_job_fits_kubernetes_strictly(version):
    check(job(), version)


def objects(value):
    """Every object in a spec whose fields have meanings: none in maps of names that users choose."""
    if isinstance(value, dict):
        yield value
        for key, child in value.items():
            if key not in {"matchLabels", "annotations", "labels", "limits", "requests"}:
                yield from objects(child)
    elif isinstance(value, list):
        for child in value:
            yield from objects(child)


@pytest.mark.parametrize("kind", sorted(BASE.union(*ADDED.values()) - {"Namespace", "ConfigMap"}))
def test_the_strict_check_sees_a_misspelt_field_anywhere_in_a_spec(kind):
    name = next(name for name, added in ADDED.items() if kind in BASE | added)
    document = copy.deepcopy(one(name, kind))
    if kind == "Service":
        # Labels by the short way.
        del document["spec"]["selector"]
    places = list(objects(document["spec"]))
    assert places
    for place in places:
        place["misspelt"] = "x"
        with pytest.raises((AssertionError, jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(document, "1.37")
        del place["misspelt"]
    check(document, "1.37")


def test_every_overlay_adds_what_it_is_for_and_no_load_generator():
    assert set(OVERLAYS) == set(ADDED)
    for name, added in ADDED.items():
        kinds = [document["kind"] for document in overlay(name)]
        assert sorted(kinds) == sorted(BASE | added), name
        # Later manifests are in this namespace.
        assert kinds[0] == "Namespace", name


def workloads():
    return {**{name: one(name, "Deployment") for name in OVERLAYS}, "loadtest": job()}


@pytest.mark.parametrize("name, workload", list(workloads().items()), ids=list(workloads()))
def test_pods_meet_the_restricted_standard(name, workload):
    assert one("kubernetes", "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = workload["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container(workload)["securityContext"]
    assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_manifests_belong_together(name):
    deployment = one(name, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert one(name, "Service")["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert one(name, kind)["spec"]["selector"]["matchLabels"] == labels
    assert one(name, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    scaled = one(name, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
    outside = {"Namespace", "GatewayClass", "ConfigMap"}
    inside = [document for document in [*overlay(name), job()] if document["kind"] not in outside]
    namespaces = {document["metadata"]["namespace"] for document in inside}
    assert namespaces == {one(name, "Namespace")["metadata"]["name"]}
    ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
    for probe in ("livenessProbe", "readinessProbe"):
        assert container(deployment)[probe]["httpGet"]["port"] == "admin"
    assert environment(deployment)["PROXY_ECHO_ADMIN"].endswith(f":{ports['admin']}")
    drain = sum(
        int(environment(deployment)[f"PROXY_ECHO_DRAIN_{part}"].removesuffix("s")) for part in ("DELAY", "TIMEOUT")
    )
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drain


def balancers():
    """The annotations that make an AWS balancer, by overlay: of the Service itself, or of Envoy's."""
    for name in ("kubernetes", "monitoring"):
        yield name, one(name, "Service")["metadata"]["annotations"]
    yield "gateway", one("gateway", "EnvoyProxy")["spec"]["provider"]["kubernetes"]["envoyService"]["annotations"]


@pytest.mark.parametrize("name, annotations", list(balancers()))
def test_every_annotation_and_attribute_is_one_that_the_controller_knows(name, annotations):
    assert set(annotations) <= ANNOTATIONS
    assert annotations[f"{AWS}proxy-protocol"] == "*"
    for part, known in (("target-group-attributes", TARGET_GROUP_ATTRIBUTES), ("attributes", LOAD_BALANCER_ATTRIBUTES)):
        pairs = [pair.split("=") for pair in annotations.get(f"{AWS}{part}", "").split(",") if pair]
        assert {key for key, _ in pairs} <= known
    # The network policy keeps the balancer from the admin port, so its checks go to the echo port.
    assert annotations.get(f"{AWS}healthcheck-port", "traffic-port") == "traffic-port"
    assert annotations.get(f"{AWS}healthcheck-protocol", "tcp") == "tcp"


@pytest.mark.parametrize("name", ["ingress-nginx", "gateway"])
def test_behind_another_proxy_the_service_makes_no_balancer(name):
    service = one(name, "Service")
    assert service["spec"]["type"] == "ClusterIP" and "annotations" not in service["metadata"]
    assert not {"loadBalancerClass", "allocateLoadBalancerNodePorts"} & set(service["spec"])


def test_nginx_sends_a_header_to_the_service():
    entries = one("ingress-nginx", "ConfigMap")["data"]
    service = one("ingress-nginx", "Service")
    (port,) = service["spec"]["ports"]
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    # The fourth field is the header sent, the third the header read.
    assert entries == {str(port["port"]): f"{name}:{port['name']}::PROXY"}


def test_envoy_reads_the_balancers_header_and_sends_its_own():
    gateway, route, service = (one("gateway", kind) for kind in ("Gateway", "TCPRoute", "Service"))
    (listener,), (port,) = gateway["spec"]["listeners"], service["spec"]["ports"]
    assert (listener["protocol"], listener["port"]) == ("TCP", 8888)
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"], "sectionName": listener["name"]}]
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": service["metadata"]["name"], "port": port["port"]}]}]
    assert gateway["spec"]["gatewayClassName"] == one("gateway", "GatewayClass")["metadata"]["name"]
    reads, sends = one("gateway", "ClientTrafficPolicy")["spec"], one("gateway", "BackendTrafficPolicy")["spec"]
    assert reads["proxyProtocol"] == {"optional": False} and sends["proxyProtocol"] == {"version": "V2"}
    pointers = [(reads["targetRefs"], gateway), (sends["targetRefs"], route)]
    pointers.append(([gateway["spec"]["infrastructure"]["parametersRef"]], one("gateway", "EnvoyProxy")))
    for references, target in pointers:
        group = target["apiVersion"].split("/")[0]
        assert references == [{"group": group, "kind": target["kind"], "name": target["metadata"]["name"]}]


def test_metrics_are_scraped_once_by_annotations_or_by_a_podmonitor():
    for name in OVERLAYS:
        pod = one(name, "Deployment")["spec"]["template"]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        annotations = pod["metadata"].get("annotations")
        if name == "monitoring":
            monitor = one(name, "PodMonitor")["spec"]
            assert annotations is None and monitor["selector"]["matchLabels"] == pod["metadata"]["labels"]
            (endpoint,) = monitor["podMetricsEndpoints"]
            assert endpoint["port"] in ports and endpoint["path"] == "/metrics"
        else:
            wanted = {"scrape": "true", "port": str(ports["admin"]), "path": "/metrics"}
            assert annotations == {f"prometheus.io/{key}": value for key, value in wanted.items()}


def pod(namespace, label, address):
    """A peer that is a pod: its namespace's labels, its own labels, its address."""
    return {"kubernetes.io/metadata.name": namespace}, {"app.kubernetes.io/name": label}, address


# Private addresses of a cloud's network may be pods', too: the table has pods with both kinds of address.
PEERS = {
    "internet": (None, None, "203.0.113.7"),
    "balancer": (None, None, "10.1.2.3"),
    "balancer in 172.16": (None, None, "172.31.255.254"),
    "beyond 172.16": (None, None, "172.32.0.1"),
    "prometheus": pod("monitoring", "prometheus", "100.64.0.1"),
    "prometheus elsewhere": pod("default", "prometheus", "100.64.0.2"),
    "ingress-nginx": pod("ingress-nginx", "ingress-nginx", "100.64.0.3"),
    "ingress-nginx's neighbour": pod("ingress-nginx", "other", "100.64.0.4"),
    "a pod that says it is nginx": pod("default", "ingress-nginx", "100.64.0.5"),
    "envoy": pod("envoy-gateway-system", "envoy", "100.64.0.6"),
    "envoy's controller": pod("envoy-gateway-system", "gateway-helm", "100.64.0.7"),
    "load generator": pod("proxy-echo", "loadtest", "100.64.0.8"),
    "load generator elsewhere": pod("default", "loadtest", "100.64.0.9"),
    "echo server": pod("proxy-echo", "proxy-echo", "100.64.0.10"),
}
# Which peers reach the echo port. The admin port is Prometheus' alone.
REACH_ECHO = {
    "kubernetes": {"balancer", "balancer in 172.16", "load generator"},
    "monitoring": {"balancer", "balancer in 172.16", "load generator"},
    "ingress-nginx": {"ingress-nginx", "load generator"},
    "gateway": {"envoy", "load generator"},
}


def selects(selector, labels):
    assert set(selector) <= {"matchLabels"}, "not evaluated here"
    return selector.get("matchLabels", {}).items() <= labels.items()


def comes_from(peer, entry, namespace):
    """Whether one entry of `from` means that peer. Selectors mean pods only, and without a namespaceSelector those of the
    policy's namespace."""
    namespace_labels, labels, address = peer
    if "ipBlock" in entry:
        assert set(entry) == {"ipBlock"} and set(entry["ipBlock"]) == {"cidr"}, "not evaluated here"
        return ipaddress.ip_address(address) in ipaddress.ip_network(entry["ipBlock"]["cidr"])
    assert entry and set(entry) <= {"namespaceSelector", "podSelector"}, "not evaluated here"
    if labels is None:
        return False
    own = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return selects(entry.get("namespaceSelector", own), namespace_labels) and selects(
        entry.get("podSelector", {}), labels
    )


def admits(policy, peer, port):
    """Whether a policy lets a peer connect to a named port: a rule must name the peer and the port."""
    for rule in policy["spec"]["ingress"]:
        # A rule without either admits everybody, or to everything.
        assert rule["from"] and rule["ports"], "not evaluated here"
        named = [entry["port"] for entry in rule["ports"]]
        namespace = policy["metadata"]["namespace"]
        if port in named and any(comes_from(peer, entry, namespace) for entry in rule["from"]):
            return True
    return False


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_network_policy_admits_balancers_to_the_echo_port_and_prometheus_to_the_admin_port(name):
    policy = one(name, "NetworkPolicy")
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert {peer for peer in PEERS if admits(policy, PEERS[peer], "echo")} == REACH_ECHO[name]
    assert {peer for peer in PEERS if admits(policy, PEERS[peer], "admin")} == {"prometheus"}
    # The server itself connects to nothing.
    assert policy["spec"]["egress"] == []
